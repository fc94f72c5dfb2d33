import { parseSync } from 'vite';

/** What a source file says about other modules and about its process, read from its syntax tree. */
export interface Source {
  /** Every module it names: imports, re-exports, `import()` (of types too), and `new URL('…', import.meta.url)`. */
  imports: string[];
  /** The members of `process` that it touches. */
  processMembers: string[];
  /** The titles of its tests; undefined for one that is not written out. */
  titles: Array<string | undefined>;
}

interface Node {
  type: string;
  [key: string]: unknown;
}

const IMPORTING = new Set([
  'ImportDeclaration',
  'ExportNamedDeclaration',
  'ExportAllDeclaration',
  'ImportExpression',
  'TSImportType',
  'TSExternalModuleReference',
]);

/** Members of `test` that take the title; the others (`each`, `skipIf`) return the function that does. */
const MODIFIERS = new Set(['concurrent', 'fails', 'only', 'sequential', 'skip', 'todo']);

export function readSource(path: string, text: string): Source {
  const { program, errors } = parseSync(path, text);
  if (errors[0] !== undefined) throw new Error(`${path}: ${errors[0].message}`);
  const source: Source = { imports: [], processMembers: [], titles: [] };
  visit(program, (node) => {
    source.imports.push(...importsOf(node));
    source.processMembers.push(...processMembersOf(node));
    if (isTest(node)) source.titles.push(staticText((node['arguments'] as Node[])[0]));
  });
  return source;
}

function visit(value: unknown, onNode: (node: Node) => void): void {
  if (Array.isArray(value)) return value.forEach((item) => visit(item, onNode));
  if (typeof value !== 'object' || value === null) return;
  if (isNode(value)) onNode(value);
  for (const child of Object.values(value)) visit(child, onNode);
}

function importsOf(node: Node): string[] {
  if (IMPORTING.has(node.type)) {
    const name = staticText(node['source'] ?? node['expression'] ?? node['argument']);
    return name === undefined ? [] : [name];
  }
  if (node.type !== 'NewExpression' || nameOf(node['callee']) !== 'URL') return [];
  const [name, base] = node['arguments'] as Node[];
  const text = staticText(name);
  return base?.type === 'MemberExpression' && text !== undefined && /\.[cm]?[jt]s$/.test(text) ? [text] : [];
}

function processMembersOf(node: Node): string[] {
  if (node.type === 'MemberExpression' && isProcess(node['object'])) {
    return [staticText(node['property']) ?? nameOf(node['property']) ?? ''];
  }
  if (node.type !== 'VariableDeclarator' || !isProcess(node['init'])) return [];
  const { properties = [] } = node['id'] as { properties?: Node[] };
  return properties.map((property) => nameOf(property['key']) ?? '');
}

/** `process`, `globalThis.process`. */
function isProcess(value: unknown): boolean {
  if (!isNode(value)) return false;
  return (
    nameOf(value) === 'process' ||
    (value.type === 'MemberExpression' && nameOf(value['property']) === 'process')
  );
}

/** `test('…')`, `test.skip('…')`, `it.each(…)('…')`; not `test.each(…)` itself, and not `pattern.test('…')`. */
function isTest(node: Node): boolean {
  if (node.type !== 'CallExpression') return false;
  const callee = node['callee'] as Node;
  const takesTitle = callee.type !== 'MemberExpression' || MODIFIERS.has(nameOf(callee['property']) ?? '');
  return takesTitle && ['test', 'it'].includes(rootOf(callee));
}

/** The name that a chain of members and calls begins with. */
function rootOf(node: Node): string {
  const inner = node['object'] ?? node['callee'] ?? node['tag'];
  return isNode(inner) ? rootOf(inner) : (nameOf(node) ?? '');
}

/** The text of a string, or of a template up to its first `${`. */
function staticText(value: unknown): string | undefined {
  if (!isNode(value)) return undefined;
  if (value.type === 'TSLiteralType') return staticText(value['literal']);
  if (value.type === 'Literal' && typeof value['value'] === 'string') return value['value'];
  if (value.type !== 'TemplateLiteral') return undefined;
  const [first] = value['quasis'] as Array<{ value: { cooked: string } }>;
  return first?.value.cooked;
}

function nameOf(value: unknown): string | undefined {
  return isNode(value) && value.type === 'Identifier' ? (value['name'] as string) : undefined;
}

function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null && 'type' in value && typeof value.type === 'string';
}
