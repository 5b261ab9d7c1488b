/** Id of a stored layer: the diffID of a pulled one, a digest of the tree for files, unique for a RUN. */
export type LayerId = string;

/** Stands in a result for a step that changed nothing, so that layers and history keep agreeing. */
export const EMPTY_LAYER: LayerId = 'empty';
