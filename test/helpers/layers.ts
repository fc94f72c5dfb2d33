import { isBuiltin } from 'node:module';
import { posix } from 'node:path';
import { readSource } from './source.ts';

/** The rows of server/, top first. A part is a folder of server/ or a file directly in it; it imports from rows below its own. */
const ROWS: readonly string[][] = [
  ['main.ts'],
  ['server.ts', 'index.ts', 'workers.ts', 'client.ts', 'token.ts'],
  ['gateway', 'api'],
  ['documents'],
  ['storage', 'cluster', 'auth', 'protocol'],
  ['config.ts', 'lifecycle.ts', 'limits.ts', 'log.ts', 'metrics.ts', 'failpoints.ts', 'browser.ts'],
  ['errors.ts'],
];

/** The one import between siblings: the package's face shows the composition root. */
const SIBLING_IMPORT = { from: 'index.ts', to: 'server.ts' };

const MAY_IMPORT_HOCUSPOCUS = ['documents', 'cluster'];
const MAY_IMPORT_NODE = ['main.ts', 'workers.ts', 'gateway', 'storage', 'api/page.ts', 'log.ts'];
const MAY_TOUCH_PROCESS = ['main.ts', 'config.ts'];
const PROCESS_MEMBERS = new Set(['env', 'argv', 'exit']);

/** What is outside of server/ and still may be imported: the package's version stands there. */
const OUTSIDE = '../package.json';

/** Checks the files of server/ (path from there -> text) and describes every offence in a line. */
export function layerOffences(files: ReadonlyMap<string, string>): string[] {
  const graph = new Map<string, string[]>();
  const offences: string[] = [];
  for (const [file, text] of files) {
    if (rowOf(file) === -1) offences.push(`${file} has no place in the table of layers`);
    const { imports, processMembers } = readSource(file, text);
    const inside = imports.filter((name) => name.startsWith('.')).map((name) => resolve(file, name));
    graph.set(file, inside);
    offences.push(
      ...inside.flatMap((target) => importOffence(file, target) ?? []),
      ...imports.flatMap((name) => packageOffence(file, name) ?? []),
      ...processMembers.flatMap((member) => processOffence(file, member) ?? []),
    );
  }
  return [...offences, ...cycles(graph)];
}

function importOffence(file: string, target: string): string | undefined {
  if (target.startsWith('..'))
    return target === OUTSIDE ? undefined : `${file} imports ${target}, outside of server/`;
  const [from, to] = [partOf(file), partOf(target)];
  if (from === to || (from === SIBLING_IMPORT.from && to === SIBLING_IMPORT.to)) return undefined;
  const [row, targetRow] = [rowOf(file), rowOf(target)];
  if (row === -1 || row < targetRow) return undefined;
  return row === targetRow
    ? `${file} imports ${target}, its sibling: what both need lies below them`
    : `${file} imports ${target}, which lies above it`;
}

function packageOffence(file: string, name: string): string | undefined {
  if (name.startsWith('@hocuspocus/') && !isOf(file, MAY_IMPORT_HOCUSPOCUS)) {
    return `${file} imports ${name}: only ${MAY_IMPORT_HOCUSPOCUS.join(', ')} may`;
  }
  if (isBuiltin(name) && !isOf(file, MAY_IMPORT_NODE)) {
    return `${file} imports ${name}: of Node's modules, only ${MAY_IMPORT_NODE.join(', ')} may`;
  }
  return undefined;
}

function processOffence(file: string, member: string): string | undefined {
  if (!PROCESS_MEMBERS.has(member) || isOf(file, MAY_TOUCH_PROCESS)) return undefined;
  return `${file} touches process.${member}: only ${MAY_TOUCH_PROCESS.join(', ')} may`;
}

/** Each cycle once, as `a -> b -> a`. */
function cycles(graph: ReadonlyMap<string, string[]>): string[] {
  const found: string[] = [];
  const done = new Set<string>();
  const follow = (file: string, path: string[]) => {
    const start = path.indexOf(file);
    if (start !== -1) found.push(`imports go in a circle: ${[...path.slice(start), file].join(' -> ')}`);
    if (start !== -1 || done.has(file)) return;
    for (const target of graph.get(file) ?? []) follow(target, [...path, file]);
    done.add(file);
  };
  for (const file of graph.keys()) follow(file, []);
  return found;
}

function resolve(file: string, name: string): string {
  return posix.normalize(posix.join(posix.dirname(file), name));
}

function partOf(file: string): string {
  return file.split('/')[0] ?? file;
}

/** The index in ROWS, top first; -1 for a part that is not in it. */
function rowOf(file: string): number {
  return ROWS.findIndex((row) => row.includes(partOf(file)));
}

function isOf(file: string, places: string[]): boolean {
  return places.includes(file) || places.includes(partOf(file));
}
