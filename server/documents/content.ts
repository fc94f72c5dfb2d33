/* oxlint-disable no-underscore-dangle -- Yjs has no other way to look at a type before it has one */
import { toBase64 } from 'lib0/buffer';
import { digest } from 'lib0/hash/sha256';
import * as Y from 'yjs';
import { IndelibleError } from '../errors.ts';

/** Anything that JSON can say. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

/** What a root of a document is: Y.Text or Y.XmlText, Y.Map, Y.Array, Y.XmlFragment. */
export type RootType = 'text' | 'map' | 'array' | 'xml';

/** Any type of Yjs, of which only what all have is used. */
type Shared = ReturnType<Y.Doc['get']>;

/** What each is in Yjs. */
export const CONSTRUCTORS = { text: Y.Text, map: Y.Map, array: Y.Array, xml: Y.XmlFragment } as const;

/**
 * A document as it was at one moment; changes of it are nobody else's.
 *
 * Roots carry no type in Yjs, so what a root is shows in what it holds; where that does not say (a Y.XmlText with elements in it,
 * as Lexical has, looks like a Y.XmlFragment), or nothing is in it any more, it has to be told.
 */
export class DocumentCopy {
  readonly doc: Y.Doc;

  /** @param doc - one that nobody else uses */
  constructor(doc: Y.Doc) {
    this.doc = doc;
  }

  /** Of a document that others use. */
  static of(doc: Y.Doc): DocumentCopy {
    return new DocumentCopy(copyOf(doc));
  }

  /** Names what it holds: another one whenever that may be something else. */
  get version(): string {
    return versionOf(this.doc);
  }

  /**
   * All roots by name: text as a list of insertions with their attributes (Quill's delta; as `delta` beside `attrs` where the text has
   * some itself), XML as ProseMirror's JSON, maps and arrays as they are, bytes in base64, `null` for what JSON cannot say. A root of
   * which nothing is left is `null` if its type is not told.
   * @param types - what roots are, where it is known
   * @throws {@link IndelibleError} `wrong_type` when a root cannot be what is told
   */
  json(types: Readonly<Record<string, RootType>> = {}): { readonly [root: string]: Json } {
    const names = new Set([...this.doc.share.keys(), ...Object.keys(types)]);
    return Object.fromEntries(
      [...names].map((name) => [name, this.root(name, Object.hasOwn(types, name) ? types[name] : undefined)]),
    );
  }

  /**
   * One root as JSON, see {@link json}.
   * @throws {@link IndelibleError} `wrong_type` when it cannot be what is told
   */
  root(name: string, type?: RootType): Json {
    const root = this.#typed(name, type);
    return root === null ? null : jsonOf(root);
  }

  /**
   * The text of a root without its formatting; of XML, with a line for each element that has text of its own.
   * @param name - `content` when left out
   * @throws {@link IndelibleError} `wrong_type` when it holds neither text nor XML
   */
  text(name = 'content', type?: 'text' | 'xml'): string {
    const root = this.#typed(name, type);
    if (root === null) return '';
    if (root instanceof Y.Text) return plainText(root);
    if (root instanceof Y.XmlFragment) return linesOf(root).join('\n');
    throw new IndelibleError('wrong_type', 'the root holds neither text nor XML');
  }

  #typed(name: string, type: RootType | undefined): Shared | null {
    const found = this.doc.share.get(name);
    const known = type ?? (found && typeOf(found));
    if (known === undefined) return null;
    if (type !== undefined && found !== undefined && !canBe(found, type))
      throw new IndelibleError('wrong_type');
    return viewOf(found ?? new Y.AbstractType(), this.doc, known);
  }
}

/** A root as what it is read as. Yjs would give it that type for good. */
function viewOf(root: Shared, doc: Y.Doc, type: RootType): Shared {
  const view: Shared = new CONSTRUCTORS[type]();
  const { _start, _map, _length } = root;
  return Object.assign(view, { doc, _start, _map, _length });
}

/** Another document with all that this one holds. */
export function copyOf(doc: Y.Doc): Y.Doc {
  const copy = new Y.Doc();
  Y.applyUpdate(copy, Y.encodeStateAsUpdate(doc));
  return copy;
}

/** What is left in the list of a root. */
function contentsOf(root: Shared): Y.Item['content'][] {
  const contents = [];
  for (let item = root._start; item !== null; item = item.right)
    if (!item.deleted) contents.push(item.content);
  return contents;
}

/**
 * Names what a document holds: another name whenever that may be something else, and the same one wherever it is the same, also after
 * its log was folded.
 */
export function versionOf(doc: Y.Doc): string {
  return toBase64(digest(Y.encodeSnapshot(Y.snapshot(doc))).subarray(0, VERSION_BYTES));
}

/** Of a hash: no two versions of a document will ever have the same. */
const VERSION_BYTES = 16;

/** What a root shows to be; `undefined` when nothing that is left of it says. */
export function typeOf(root: Shared): RootType | undefined {
  const contents = contentsOf(root);
  if (contents.length === 0) return root._map.size > 0 ? 'map' : undefined;
  if (contents.some(isOfText)) return 'text';
  return contents.every((content) => content instanceof Y.ContentType && isXml(content.type))
    ? 'xml'
    : 'array';
}

/** Types may lie in text, arrays and XML; a text may have attributes, which stand where a map has its values. */
export function canBe(root: Shared, type: RootType): boolean {
  const contents = contentsOf(root);
  if (type === 'map') return contents.length === 0;
  if (type === 'array') return !contents.some(isOfText) && (contents.length > 0 || root._map.size === 0);
  const isPart = (content: Y.Item['content']) =>
    type === 'text'
      ? isOfText(content) || content instanceof Y.ContentType
      : content instanceof Y.ContentType && isXml(content.type);
  return contents.every(isPart);
}

function isOfText(content: Y.Item['content']): boolean {
  return [Y.ContentString, Y.ContentFormat, Y.ContentEmbed].some((kind) => content instanceof kind);
}

function isXml(type: Shared): boolean {
  return type instanceof Y.XmlFragment || type instanceof Y.XmlText || type instanceof Y.XmlHook;
}

function jsonOf(value: unknown): Json {
  if (value instanceof Y.Text) return delta(value);
  if (value instanceof Y.Map) return objectOf(value.entries());
  if (value instanceof Y.XmlFragment) return xml(value);
  if (value instanceof Y.Array) return value.toArray().map(jsonOf);
  if (value instanceof Y.Doc) return { guid: value.guid };
  if (value instanceof Uint8Array) return toBase64(value);
  if (Array.isArray(value)) return value.map(jsonOf);
  if (typeof value === 'object' && value !== null) return objectOf(Object.entries(value));
  if (typeof value === 'bigint') return value.toString();
  return isJson(value) ? value : null;
}

function isJson(value: unknown): value is boolean | number | string {
  return typeof value === 'string' || typeof value === 'boolean' || Number.isFinite(value);
}

/** A key like `__proto__` is data, too. */
function objectOf(entries: Iterable<readonly [string, unknown]>): { readonly [key: string]: Json } {
  return Object.fromEntries([...entries].map(([key, value]) => [key, jsonOf(value)]));
}

/** `attrs`, unless there are none. Yjs's own reading assigns them to an object, where `__proto__` is lost. */
function attributesOf(type: Shared): { readonly [key: string]: Json } {
  const items = [...type._map].filter(([, item]) => !item.deleted);
  const entries = items.map(
    ([key, { content, length }]) => [key, content.getContent()[length - 1] as unknown] as const,
  );
  return entries.length === 0 ? {} : { attrs: objectOf(entries) };
}

interface Insertion {
  readonly insert: unknown;
  readonly attributes?: { readonly [name: string]: unknown };
}

function insertionsOf(text: Y.Text): Insertion[] {
  return text.toDelta() as Insertion[];
}

function delta(text: Y.Text): Json {
  const insertions = insertionsOf(text).map(({ insert, attributes }) =>
    attributes === undefined
      ? { insert: jsonOf(insert) }
      : { insert: jsonOf(insert), attributes: jsonOf(attributes) },
  );
  const own = attributesOf(text);
  return 'attrs' in own ? { ...own, delta: insertions } : insertions;
}

function plainText(text: Y.Text): string {
  // Of what is embedded, texts alone have something to say.
  return insertionsOf(text)
    .map(({ insert }) =>
      typeof insert === 'string' ? insert : insert instanceof Y.Text ? plainText(insert) : '',
    )
    .join('');
}

/** As ProseMirror writes its nodes; the binding of y-prosemirror keeps them so. */
function xml(type: Y.XmlFragment): Json {
  const children = type
    .toArray()
    .flatMap((child: unknown) => (child instanceof Y.XmlText ? textNodes(child) : [jsonOf(child)]));
  const content = children.length === 0 ? {} : { content: children };
  if (!(type instanceof Y.XmlElement)) return { type: 'doc', ...content };
  return { type: type.nodeName, ...attributesOf(type), ...content };
}

function textNodes(text: Y.XmlText): Json[] {
  const nodes = insertionsOf(text).map(({ insert, attributes }) =>
    typeof insert === 'string' ? textNode(insert, attributes) : jsonOf(insert),
  );
  const own = attributesOf(text);
  return 'attrs' in own ? [{ ...own, content: nodes }] : nodes;
}

function textNode(text: string, attributes: Insertion['attributes']): Json {
  if (attributes === undefined) return { type: 'text', text };
  return { type: 'text', text, marks: Object.entries(attributes).map(markOf) };
}

/** y-prosemirror adds a hash where marks of one kind overlap. */
const HASH = /--[a-zA-Z0-9+/=]{8}$/;

function markOf([name, value]: [string, unknown]): Json {
  const type = name.replace(HASH, '');
  const attrs = jsonOf(value);
  const isPlain =
    attrs === true || (typeof attrs === 'object' && attrs !== null && Object.keys(attrs).length === 0);
  return isPlain ? { type } : { type, attrs };
}

/** A line for each run of texts within an element. */
function linesOf(type: Y.XmlFragment): string[] {
  const lines: string[] = [];
  let isOpen = false;
  for (const child of type.toArray() as unknown[]) {
    if (child instanceof Y.XmlText) {
      const text = plainText(child);
      if (isOpen) lines.push(`${lines.pop() ?? ''}${text}`);
      else lines.push(text);
      isOpen = true;
    } else {
      isOpen = false;
      if (child instanceof Y.XmlFragment) lines.push(...linesOf(child));
    }
  }
  return lines;
}
