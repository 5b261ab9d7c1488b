/** An image name. `registry` and `repository` are normalised (`docker.io`, `library/busybox`). */
export interface Reference {
  readonly registry: string;
  readonly repository: string;
  readonly tag?: string;
  readonly digest?: import('./types.ts').Digest;
}
