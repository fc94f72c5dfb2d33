import * as Y from 'yjs';
import { IndelibleError } from '../errors.ts';
import type { Json, RootType } from './content.ts';

/** Objects and arrays within one another; half of what a document may have, see nesting.ts. */
const MAX_LEVELS = 200;

/**
 * How a value of JSON is kept: objects and arrays as Y.Map and Y.Array, in which people and programs change parts at the same time
 * (`shared`); a string as Y.Text (`text`); or all of it as one value, which is only ever replaced as a whole (`json`).
 */
export type Keeping = 'shared' | 'text' | 'json';

type Shared = Y.Map<unknown> | Y.Array<unknown> | Y.Text;

/**
 * @throws {@link IndelibleError} `bad_operation` when it cannot be kept so
 */
export function kept(value: Json, keeping: Keeping = 'shared'): Json | Shared {
  refuseOdd(value);
  if (keeping === 'json') return plain(value);
  if (keeping === 'shared') return shared(value);
  if (typeof value !== 'string') throw new IndelibleError('bad_operation', 'a text is a string');
  return new Y.Text(value);
}

/** For a value that Yjs writes as it is. It reads objects by assigning, where `__proto__` is lost. */
export function plain(value: Json): Json {
  refuseOdd(value);
  if (some(value, (each) => isRecord(each) && Object.hasOwn(each, '__proto__')))
    throw new IndelibleError('bad_operation', '__proto__ can be a key of a shared map only');
  return value;
}

function shared(value: Json): Json | Shared {
  if (isArray(value)) {
    const array = new Y.Array<unknown>();
    array.push(value.map(shared));
    return array;
  }
  if (typeof value !== 'object' || value === null) return value;
  return new Y.Map(Object.entries(value).map(([key, each]) => [key, shared(each)] as const));
}

/** Roots of a document as JSON, as {@link DocumentCopy.json} gives them. */
export type JsonRoots = Readonly<Record<string, Json>>;

/**
 * A document of JSON: a string or a delta becomes a Y.Text, what ProseMirror writes a Y.XmlFragment, an object a Y.Map, an array a
 * Y.Array. What {@link DocumentCopy.json} gives becomes the same again.
 * @param types - what roots are, where their JSON would be taken for something else
 * @throws {@link IndelibleError} `bad_operation` when a root cannot be that
 */
export function documentOf(roots: JsonRoots, types: Readonly<Record<string, RootType>> = {}): Y.Doc {
  const doc = new Y.Doc();
  doc.transact(() => {
    for (const [name, value] of Object.entries(roots)) {
      refuseOdd(name);
      refuseOdd(value);
      fillRoot(doc, name, value, (Object.hasOwn(types, name) ? types[name] : undefined) ?? typeOf(value));
    }
  });
  return doc;
}

function typeOf(value: Json): RootType | null {
  if (value === null) return null;
  if (typeof value === 'string' || isDelta(value)) return 'text';
  if (isArray(value)) return 'array';
  if (typeof value !== 'object')
    throw new IndelibleError('bad_operation', 'a root is a text, a list or a map');
  return isPage(value) ? 'xml' : 'map';
}

function fillRoot(doc: Y.Doc, name: string, value: Json, type: RootType | null): void {
  const isObject = typeof value === 'object' && value !== null;
  if (type === null) return;
  if (type === 'text' && typeof value === 'string') doc.getText(name).insert(0, value);
  else if (type === 'text' && isDelta(value)) fillText(doc.getText(name), value);
  else if (type === 'array' && isArray(value)) doc.getArray(name).push(value.map(shared));
  else if (type === 'map' && isObject && !isArray(value)) {
    for (const [key, each] of Object.entries(value)) doc.getMap(name).set(key, shared(each));
  } else if (type === 'xml' && isObject && isPage(value)) {
    doc.getXmlFragment(name).push(childrenOf(value));
  } else throw new IndelibleError('bad_operation', `the root is no ${type}`);
}

interface Insertion {
  /** A text, or something embedded. */
  readonly insert: string | { readonly [key: string]: Json };
  readonly attributes?: { readonly [name: string]: Json };
}

/** Not blank, since that may as well be a list. */
function isDelta(value: Json): value is readonly (Insertion & { readonly [key: string]: Json })[] {
  return isArray(value) && value.length > 0 && value.every(isInsertion);
}

function isInsertion(value: Json): boolean {
  if (typeof value !== 'object' || value === null || isArray(value)) return false;
  const { insert, attributes = {}, ...others } = value as { insert?: unknown; attributes?: unknown };
  const isInserted = typeof insert === 'string' || isRecord(insert);
  return isInserted && isRecord(attributes) && Object.keys(others).length === 0;
}

function fillText(text: Y.Text, delta: readonly Insertion[]): void {
  text.applyDelta(
    delta.map(({ insert, attributes = {} }) => ({
      insert: typeof insert === 'string' ? insert : plain(insert),
      attributes: plain(attributes),
    })),
    { sanitize: false },
  );
}

interface Node {
  readonly type: string;
  readonly attrs?: { readonly [name: string]: Json };
  readonly content?: readonly Json[];
  readonly text?: string;
  readonly marks?: readonly Json[];
}

/** What ProseMirror writes, and no map that says of what type it is. */
function isPage(value: Json): value is Node & { readonly [key: string]: Json } {
  if (!isNode(value) || value.type !== 'doc') return false;
  return Object.keys(value).every((key) => key === 'type' || key === 'content');
}

function isNode(value: Json): value is Node & { readonly [key: string]: Json } {
  if (!isRecord(value) || typeof value['type'] !== 'string') return false;
  const { attrs = {}, content = [], text = '', marks = [] } = value as Partial<Node>;
  return isRecord(attrs) && isArray(content) && typeof text === 'string' && isArray(marks);
}

/** Texts that are beside each other are one, as y-prosemirror keeps them. */
function childrenOf({ content = [] }: Node): (Y.XmlElement | Y.XmlText)[] {
  const children: (Y.XmlElement | Y.XmlText)[] = [];
  let texts: Insertion[] = [];
  const closeText = () => {
    if (texts.length === 0) return;
    const text = new Y.XmlText();
    fillText(text, texts);
    children.push(text);
    texts = [];
  };
  for (const child of content) {
    if (!isNode(child)) throw new IndelibleError('bad_operation', 'a node of XML has a type');
    if (child.type === 'text') texts.push({ insert: child.text ?? '', attributes: marksOf(child) });
    else {
      closeText();
      children.push(elementOf(child));
    }
  }
  closeText();
  return children;
}

function elementOf(node: Node): Y.XmlElement {
  const element = new Y.XmlElement(node.type);
  // Values of attributes are any JSON for y-prosemirror, though Yjs's types say strings.
  for (const [name, value] of Object.entries(node.attrs ?? {}))
    element.setAttribute(name, plain(value) as string);
  element.insert(0, childrenOf(node));
  return element;
}

function marksOf({ marks = [] }: Node): { readonly [name: string]: Json } {
  return Object.fromEntries(
    marks.map((mark) => {
      if (!isRecord(mark) || typeof mark['type'] !== 'string')
        throw new IndelibleError('bad_operation', 'a mark has a type');
      return [mark['type'], mark['attrs'] ?? {}];
    }),
  );
}

function isRecord(value: unknown): value is { readonly [key: string]: Json } {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** `Array.isArray` does not know lists that are read only. */
function isArray(value: unknown): value is readonly Json[] {
  return Array.isArray(value);
}

/** What is too deep, and half characters, in the place of which Yjs would put others. */
function refuseOdd(value: Json): void {
  some(value, (each, level) => {
    if (level > MAX_LEVELS)
      throw new IndelibleError('bad_operation', `a value has at most ${MAX_LEVELS} levels`);
    if (typeof each === 'string' && !each.isWellFormed())
      throw new IndelibleError('bad_operation', 'a text has half a character');
    return false;
  });
}

/** Without recursion: who asks does not know yet how deep it is. Keys are asked about, too. */
function some(value: unknown, matches: (each: unknown, level: number) => boolean): boolean {
  const left: { value: unknown; level: number }[] = [{ value, level: 1 }];
  for (let next = left.pop(); next !== undefined; next = left.pop()) {
    const { value: each, level } = next;
    if (matches(each, level)) return true;
    if (typeof each !== 'object' || each === null) continue;
    for (const [key, child] of Object.entries(each)) {
      if (!Array.isArray(each) && matches(key, level)) return true;
      left.push({ value: child, level: level + 1 });
    }
  }
  return false;
}
