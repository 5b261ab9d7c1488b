/** `case.json`: a project as people publish them, and what its images do. */
export type RealWorldCase = {
  /** What kind of project it stands for. */
  about: string;
  /** Small enough for `npm test`. */
  quick?: true;
  /** Why Docker is not asked: what its built-in frontend lacks. */
  dockerLacks?: string;
  /** Name in FROM → folder below `bases`. */
  bases: Record<string, string>;
  /** Built in this order; a later one may name the tag of an earlier one in FROM. */
  images: ImageCheck[];
};

export type ImageCheck = {
  tag: string;
  /** Flags of the build, the same for ocibuild and `docker buildx build`; paths are relative to the context. */
  flags?: string[];
  /** Fields of the image config; null for one that must be absent. */
  config?: Record<string, unknown>;
  /** Path → type, or text that a short file holds; null for a path that must not be there. */
  files?: Record<string, string | null>;
  runs?: RunCheck[];
  /** Reason → expression over paths that are not compared with Docker's. */
  differs?: Record<string, string>;
};

/** One container. It is a service, which goes on until it is told to stop, where `stops` is there. */
export type RunCheck = {
  /** Instead of CMD. */
  command?: string[];
  env?: Record<string, string>;
  /** Everything it prints. */
  output?: string;
  /** Exit code (0) of a program that ends by itself. */
  exit?: number;
  /** URL → what the service answers; fetched in the container's own network. */
  requests?: Record<string, string>;
  /** The image's HEALTHCHECK must succeed. */
  healthy?: true;
  /** Command → what it prints when it is started in the running container. */
  exec?: Record<string, string>;
  /** Exit code after the image's STOPSIGNAL. */
  stops?: number;
};

export type LoadedCase = RealWorldCase & { name: string; dir: string };
