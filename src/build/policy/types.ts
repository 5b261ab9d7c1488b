/** Which sources a build may use, and what stands in for them: BuildKit's source policy. */
export interface SourcePolicy {
  /** @default 1 */
  readonly version?: number;
  /** Of ALLOW and DENY the last that fits counts; a CONVERT that changes something begins anew with the new source. */
  readonly rules: readonly SourceRule[];
}

/** What happens to the sources that a selector fits. */
export interface SourceRule {
  /** @default ALLOW */
  readonly action?: 'ALLOW' | 'DENY' | 'CONVERT';
  readonly selector: SourceSelector;
  /** For CONVERT. */
  readonly updates?: {
    /** The new source; `${1}` is what the first `*` or group of the selector stood for. */
    readonly identifier?: string;
    /** `http.checksum`, `git.checksum`, `git.fullurl`. */
    readonly attrs?: Readonly<Record<string, string>>;
  };
}

/** Sources by their identifiers: `docker-image://docker.io/library/alpine:latest`, `https://…`, `git://HOST/PATH#REF`,
 * `local://context`, `oci-layout://…`. */
export interface SourceSelector {
  readonly identifier: string;
  /** `*` stands for any text; a REGEX of Go need only fit a part. @default WILDCARD */
  readonly matchType?: 'WILDCARD' | 'EXACT' | 'REGEX';
  readonly constraints?: readonly {
    readonly key: string;
    /** @default '' */
    readonly value?: string;
    /** @default EQUAL */
    readonly condition?: 'EQUAL' | 'NOTEQUAL' | 'MATCHES';
  }[];
}

/** A source as rules see it. */
export interface PolicedSource {
  readonly identifier: string;
  readonly attrs: Readonly<Record<string, string>>;
}
