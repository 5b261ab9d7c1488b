/** A wanted path, component by component. A node without children is wanted with all that is below it. */
export interface SelectNode {
  readonly children: Map<string, SelectNode> | undefined;
}

const EVERYTHING: SelectNode = { children: undefined };

/** The paths wanted of a context; grows while symlinks are met. */
export interface Selection {
  root(): SelectNode;
  /** Adds a path, cleaned by the rules of a root directory (`..` stops there); false when it was in already. */
  add(path: string): boolean;
}

export function createSelection(paths: readonly string[]): Selection {
  let root: SelectNode = { children: new Map() };
  const add = (path: string): boolean => {
    const parts = clean(path);
    if (root.children === undefined) return false;
    if (parts.length === 0) {
      root = EVERYTHING;
      return true;
    }
    let node = root;
    for (const [depth, name] of parts.entries()) {
      if (node.children === undefined) return false;
      const next = node.children.get(name);
      if (depth === parts.length - 1) {
        if (next !== undefined && next.children === undefined) return false;
        node.children.set(name, EVERYTHING);
        return true;
      }
      const child = next ?? { children: new Map<string, SelectNode>() };
      node.children.set(name, child);
      node = child;
    }
    return false;
  };
  for (const path of paths) add(path);
  return { root: () => root, add };
}

/** The paths below a node that are wanted whole, relative to it; `''` is the node itself. */
export function wantedBelow(node: SelectNode): readonly string[] {
  if (node.children === undefined) return [''];
  return [...node.children].flatMap(([name, child]) =>
    wantedBelow(child).map((rest) => (rest === '' ? name : `${name}/${rest}`)),
  );
}

/** Where a symlink leads, relative to the root that `linkPath` is relative to. */
export function linkTarget(linkPath: string, text: string): string {
  return text.startsWith('/') ? text : `${linkPath.slice(0, linkPath.lastIndexOf('/') + 1)}${text}`;
}

function clean(path: string): string[] {
  const parts: string[] = [];
  for (const part of path.split('/')) {
    if (part === '..') parts.pop();
    else if (part !== '' && part !== '.') parts.push(part);
  }
  return parts;
}
