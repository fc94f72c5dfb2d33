/* oxlint-disable no-underscore-dangle -- Yjs has no other way to look at a type before it has one */
import { toBase64 } from 'lib0/buffer';
import * as Y from 'yjs';
import { IndelibleError } from '../errors.ts';

/** Anything that JSON can say. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

/** What a root of a document is: Y.Text or Y.XmlText, Y.Map, Y.Array, Y.XmlFragment. */
export type RootType = 'text' | 'map' | 'array' | 'xml';

/** Any type of Yjs, of which only what all have is used. */
type Shared = ReturnType<Y.Doc['get']>;

const CONSTRUCTORS = { text: Y.Text, map: Y.Map, array: Y.Array, xml: Y.XmlFragment } as const;

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

  /**
   * All roots by name: text as a list of insertions with their attributes (Quill's delta; as `delta` beside `attrs` where the text has
   * some itself), XML as ProseMirror's JSON, maps and arrays as they are, bytes in base64, `null` for what JSON cannot say. A root of
   * which nothing is left is `null` if its type is not told.
   * @param types - what roots are, where it is known
   * @throws {@link IndelibleError} `wrong_type` when a root is something else than told
   */
  json(types: Readonly<Record<string, RootType>> = {}): { readonly [root: string]: Json } {
    const names = new Set([...this.doc.share.keys(), ...Object.keys(types)]);
    return Object.fromEntries(
      [...names].map((name) => [name, this.root(name, Object.hasOwn(types, name) ? types[name] : undefined)]),
    );
  }

  /**
   * One root as JSON, see {@link json}.
   * @throws {@link IndelibleError} `wrong_type` when it is something else than told
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
    const raw = this.doc.share.get(name);
    const found = raw === undefined ? undefined : typeOf(raw);
    const known = type ?? found;
    if (known === undefined) return null;
    // Where a Y.XmlText has elements in it it looks like a fragment.
    if (found !== undefined && found !== known && !(found === 'xml' && known === 'text'))
      throw new IndelibleError('wrong_type', `the root holds ${found}`);
    try {
      return this.doc.get(name, CONSTRUCTORS[known]);
    } catch (error) {
      // It has been read as something else before.
      throw new IndelibleError('wrong_type', undefined, { cause: error });
    }
  }
}

/** What a root shows to be; `undefined` when nothing that is left of it says. */
function typeOf(root: Shared): RootType | undefined {
  if (root instanceof Y.XmlFragment) return 'xml';
  if (root instanceof Y.Text) return 'text';
  if (root instanceof Y.Array) return 'array';
  if (root instanceof Y.Map) return 'map';
  for (let item = root._start; item !== null; item = item.right)
    if (!item.deleted) return listOf(item.content);
  return root._map.size > 0 ? 'map' : undefined;
}

function listOf(content: Y.Item['content']): RootType {
  const isText = [Y.ContentString, Y.ContentFormat, Y.ContentEmbed].some((kind) => content instanceof kind);
  if (isText) return 'text';
  return content instanceof Y.ContentType && isXml(content.type) ? 'xml' : 'array';
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

function delta(text: Y.Text): Json {
  const insertions = (text.toDelta() as Insertion[]).map(({ insert, attributes }) =>
    attributes === undefined
      ? { insert: jsonOf(insert) }
      : { insert: jsonOf(insert), attributes: jsonOf(attributes) },
  );
  const own = attributesOf(text);
  return 'attrs' in own ? { ...own, delta: insertions } : insertions;
}

function plainText(text: Y.Text): string {
  const insertions = (text.toDelta() as Insertion[]).map(({ insert }) => insert);
  // Of what is embedded, texts alone have something to say.
  return insertions
    .map((insert) =>
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
  const nodes = (text.toDelta() as Insertion[]).map(({ insert, attributes }) =>
    typeof insert === 'string' ? textNode(insert, attributes) : jsonOf(insert),
  );
  const own = attributesOf(text);
  return 'attrs' in own ? [{ ...own, content: nodes }] : nodes;
}

function textNode(text: string, attributes: Insertion['attributes']): Json {
  if (attributes === undefined) return { type: 'text', text };
  return { type: 'text', text, marks: Object.entries(attributes).map(markOf) };
}

function markOf([type, value]: [string, unknown]): Json {
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
