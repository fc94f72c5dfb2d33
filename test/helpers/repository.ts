import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

const ROOT = join(import.meta.dirname, '../..');

/** What is made and not written: dependencies, builds, data. Some are ignored by git, and a tarball has no git. */
const MADE = new Set(['.git', 'node_modules', 'dist', 'data', 'coverage', 'artefacts']);

/** The repository's files as text, by path from its root (or from `folder`); binary ones are left out. */
export function repositoryFiles(folder = '.'): Map<string, string> {
  const files = new Map<string, string>();
  const root = join(ROOT, folder);
  for (const path of pathsBelow(root, '')) {
    const bytes = readFileSync(join(root, path));
    if (!bytes.includes(0)) files.set(path, bytes.toString());
  }
  return files;
}

function pathsBelow(root: string, folder: string): string[] {
  const entries = readdirSync(join(root, folder), { withFileTypes: true });
  return entries.flatMap((entry) => {
    const path = folder === '' ? entry.name : `${folder}/${entry.name}`;
    if (entry.isDirectory()) return MADE.has(entry.name) ? [] : pathsBelow(root, path);
    return entry.isFile() ? [path] : [];
  });
}
