/** What Docker made of generated texts; `record.ts` writes these files. */
export type Expansions = {
  /** Lines above each text; without the escape directive. */
  header: string[];
  /** `history`: text of the history entry; null: Docker refuses the line. */
  answers: { escapeChar: string; line: string; history: string | null }[];
};

export type Ignores = {
  /** All files of the tree, sorted. */
  files: string[];
  /** `kept`: those that `COPY . /` copied. */
  answers: { patterns: string[]; kept: string[] }[];
};
