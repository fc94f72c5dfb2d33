import type { Context } from 'hono';
import { toBase64 } from 'lib0/buffer';
import * as Y from 'yjs';
import { z } from 'zod';
import { copyOf, type DocumentCopy, type RootType } from '../documents/content.ts';
import { sequenceAt } from '../documents/operations.ts';
import type { ProgramDocuments } from '../documents/program-documents.ts';
import { IndelibleError } from '../errors.ts';
import type { CallerEnv, Callers } from './caller.ts';
import { etagOf, names } from './conditions.ts';
import { UPDATE, describe, json, parse, queryOf, type DescribedApp } from './described.ts';
import * as schemas from './schemas.ts';

/** Names that are looked at for one page, most of which a token may not allow. */
const MOST_LOOKED_AT = 1_000;
/** Names that are read at a time, where fewer are to be told. */
const LEAST_AT_ONCE = 100;
const PAGE = 100;
/** In the header of a read, in the order of what was asked. */
export const POSITIONS_HEADER = 'Relative-Positions';

type Query = z.output<typeof schemas.readQuery>;

const tags = ['Documents'];

/** What can be read of documents. */
export function readRoutes(app: DescribedApp, documents: ProgramDocuments, callers: Callers): void {
  describe(
    app,
    {
      method: 'get',
      path: '/api/documents',
      tags,
      summary: 'The names of stored documents that the token may read, in the order of their bytes',
      request: { query: schemas.listQuery },
      responses: { 200: json('A page; it may have fewer names than asked for', schemas.documentList) },
    },
    callers.isKnown(),
    async (context) => {
      const page = await list(context, documents, callers);
      return context.json(page satisfies z.input<typeof schemas.documentList>);
    },
  );
  describe(
    app,
    {
      method: 'get',
      path: '/api/documents/{name}',
      tags,
      summary: 'A document as people see it; HEAD tells whether there is one, and its version',
      request: {
        params: schemas.inPath,
        query: schemas.readQuery,
        headers: z.object({ 'if-none-match': z.string().optional() }),
      },
      responses: {
        200: {
          description: 'The content; ETag is another one whenever it can have changed',
          content: {
            'application/json': { schema: schemas.read },
            'text/plain': { schema: z.string() },
            [UPDATE]: { schema: schemas.update },
          },
        },
        304: { description: 'It has the version that If-None-Match names' },
      },
    },
    callers.may('read'),
    (context) => read(context, documents),
  );
  describe(
    app,
    {
      method: 'get',
      path: '/api/documents/{name}/connections',
      tags,
      summary: 'Who is connected, at all instances',
      request: { params: schemas.inPath },
      responses: { 200: json('Connections', schemas.connections) },
    },
    callers.may('read'),
    async (context) => {
      const name = context.get('name');
      const connections = await documents.connections(name);
      // People may be in a document that nobody has edited yet.
      if (connections.length === 0 && !(await documents.exists(name))) throw await documents.whyMissing(name);
      return context.json({ connections });
    },
  );
  describe(
    app,
    {
      method: 'get',
      path: '/api/documents/{name}/statistics',
      tags,
      summary: 'What is stored, and how many are connected',
      request: { params: schemas.inPath },
      responses: { 200: json('Statistics', schemas.statistics) },
    },
    callers.may('read'),
    async (context) => {
      const name = context.get('name');
      const stored = await documents.statistics(name);
      if (stored === null) throw await documents.whyMissing(name);
      const connections = await documents.connections(name);
      const users = new Set(connections.flatMap(({ user }) => user ?? []));
      const answer: z.input<typeof schemas.statistics> = {
        ...stored,
        bytes: stored.rowBytes + stored.snapshotBytes,
        connections: connections.length,
        // Of whom nobody was asked who they are, each is somebody.
        people: users.size + connections.filter(({ user }) => user === null).length,
      };
      return context.json(answer);
    },
  );
}

async function list(context: Context<CallerEnv>, documents: ProgramDocuments, callers: Callers) {
  const { prefix, cursor, limit = PAGE } = queryOf(context, schemas.listQuery);
  const found: string[] = [];
  const { told, place } = readCursor(cursor);
  // Where what was there is gone, from what was told last: it is looked at once more.
  let last = (place === undefined ? null : await documents.nameAt(place)) ?? told;
  for (let looked = 0; looked < MOST_LOOKED_AT && found.length < limit;) {
    const page = await documents.list({
      prefix,
      cursor: last,
      limit: Math.max(limit - found.length, LEAST_AT_ONCE),
    });
    for (const name of page.names) {
      if (found.length === limit) break;
      last = name;
      looked += 1;
      if (await callers.mayRead(context, name)) found.push(name);
    }
    if (page.cursor === null && last === (page.names.at(-1) ?? last)) return { names: found, cursor: null };
  }
  const toldLast = found.at(-1) ?? told;
  if (last === toldLast) return { names: found, cursor: last };
  return { names: found, cursor: `${toldLast}${PLACE}${(await documents.placeOf(last)) ?? NOWHERE}` };
}

/**
 * A cursor is the name that was told last; and where the list has come to since, if that is a name which may not be told. In no name is
 * this character.
 */
const PLACE = '\n';
const NOWHERE = '0.0';

function readCursor(cursor = ''): { told: string; place: string | undefined } {
  const [told = '', place] = cursor.split(PLACE, 2);
  if (place !== undefined && !/^\d{1,18}\.\d{1,10}$/.test(place))
    throw new IndelibleError('bad_request', 'cursor is none of a list');
  return { told, place };
}

async function read(context: Context<CallerEnv>, documents: ProgramDocuments): Promise<Response> {
  const name = context.get('name');
  const query = queryOf(context, schemas.readQuery);
  const copy = await documents.read(name);
  if (copy === null) throw await documents.whyMissing(name);
  const { version } = copy;
  context.header('ETag', etagOf(version));
  context.header('Cache-Control', 'private, no-cache');
  const known = context.req.header('if-none-match');
  if (known !== undefined && names(known, version)) return context.body(null, 304);
  if (query.relative !== undefined) context.header(POSITIONS_HEADER, positionsIn(copy, query));
  return contentOf(context, copy, query);
}

function contentOf(context: Context, copy: DocumentCopy, { format, root, type }: Query): Response {
  const types = typesOf(type, root);
  if (format === 'yjs') {
    return context.body(Y.encodeStateAsUpdate(copy.doc).slice(), 200, { 'Content-Type': UPDATE });
  }
  if (format === 'json')
    return context.json(root === undefined ? copy.json(types) : copy.root(root, types[root]));
  const shown = types[root ?? 'content'];
  if (shown === 'map' || shown === 'array')
    throw new IndelibleError('wrong_type', 'only texts and XML read as text');
  return context.text(copy.text(root, shown));
}

/**
 * Types of roots, given as `text`, or as `name:text` for several.
 * @throws {@link IndelibleError} `bad_request`
 */
export function typesOf(
  given: string | readonly string[] | undefined,
  root?: string,
): Record<string, RootType> {
  const words = given === undefined ? [] : typeof given === 'string' ? [given] : given;
  const types = words.map((word) => {
    const end = word.lastIndexOf(':');
    const name = end === -1 ? (root ?? 'content') : word.slice(0, end);
    return [name, schemas.rootType.parse(word.slice(end + 1))] as const;
  });
  // A root may have the name of what every object has.
  return Object.assign(Object.create(null) as Record<string, RootType>, Object.fromEntries(types));
}

function positionsIn(copy: DocumentCopy, { relative = '', root = 'content', path }: Query): string {
  // What is read of it stays untyped.
  const sequence = sequenceAt(copyOf(copy.doc), {
    root,
    path: path === undefined ? [] : schemas.path.parse(parse(path, 'path')),
  });
  return relative
    .split(',')
    .map((text) => {
      const index = Number(text);
      if (index > sequence.length) throw new IndelibleError('bad_operation', `${index} lies beyond the end`);
      return toBase64(Y.encodeRelativePosition(Y.createRelativePositionFromTypeIndex(sequence, index)));
    })
    .join(', ');
}
