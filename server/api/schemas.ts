import { z } from 'zod';
import { ACCESS } from '../auth/grant.ts';
import type { Json } from '../documents/content.ts';
import { jsonSchema, operationsSchema } from '../documents/operations.ts';

/** Indexes of one request for which relative positions are told. */
const MOST_POSITIONS = 100;

const time = z.number().meta({ description: 'Milliseconds since 1970' });
const many = z.union([z.string(), z.array(z.string())]);

/** What a root of a document may be. */
export const rootType = z.enum(['text', 'map', 'array', 'xml']);

export const problem = z
  .object({
    type: z.string(),
    title: z.string(),
    status: z.int(),
    code: z.string().meta({ description: 'A stable word; the README has a table of them' }),
    detail: z.string().optional(),
  })
  .meta({ id: 'Problem' });

/** Of a document in the path. */
export const inPath = z.object({
  name: z.string().meta({ description: 'Name of the document, percent-encoded as one segment' }),
});

export const update = z.string().meta({ format: 'binary', description: 'A Yjs update' });

export const listQuery = z.strictObject({
  prefix: z.string().max(1_000).optional(),
  cursor: z.string().max(1_000).optional().meta({ description: 'Of the page before' }),
  limit: z.coerce
    .number()
    .int()
    .min(1)
    .max(1_000)
    .optional()
    .meta({ description: '1 to 1,000; 100 when left out' }),
});

export const documentList = z
  .object({
    names: z.array(z.string()),
    cursor: z.string().nullable().meta({ description: 'For the next page; null on the last one' }),
  })
  .meta({ id: 'DocumentList' });

export const readQuery = z.strictObject({
  format: z.enum(['json', 'text', 'yjs']).default('json'),
  root: z
    .string()
    .max(1_000)
    .optional()
    .meta({ description: 'One root only; for text `content` when left out' }),
  type: many.optional().meta({
    description: 'What the root is where that does not show; of several as `name:type`, once for each',
  }),
  relative: z
    .string()
    .regex(/^\d{1,15}(,\d{1,15})*$/)
    .refine((text) => text.split(',').length <= MOST_POSITIONS, `at most ${MOST_POSITIONS} positions`)
    .optional()
    .meta({
      description: 'Indexes, with commas in between, whose relative positions the answer has in its header',
    }),
  path: z.string().max(10_000).optional().meta({
    description: 'Where in the root the indexes are: a JSON array of keys and indexes',
  }),
});

export const path = z.array(z.union([z.string(), z.int().min(0)])).max(100);

/** JSON that creates a document: its roots by name. */
export const content = z
  .custom<Readonly<Record<string, Json>>>(
    (value) => typeof value === 'object' && value !== null && !Array.isArray(value),
    'an object is expected: the roots of the document by name',
  )
  .meta({
    id: 'Content',
    type: 'object',
    additionalProperties: {},
    description:
      'Roots by name: a string or a delta becomes a Y.Text, what ProseMirror writes a Y.XmlFragment, an object a Y.Map, an array a ' +
      'Y.Array; what a read gives in JSON becomes the same again',
  });

/** Of a read with `root` what that one holds. */
export const read = z.union([content, jsonSchema]);

export const createQuery = z.strictObject({ type: many.optional() });

export const patch = z.strictObject({ operations: operationsSchema }).meta({ id: 'Patch' });

export const target = z.strictObject({ to: z.string().min(1) }).meta({ id: 'Target' });

export const created = z.object({ name: z.string() }).meta({ id: 'Created' });

export const connections = z
  .object({
    connections: z.array(
      z.object({
        user: z.string().nullable(),
        access: z.enum(ACCESS),
        protocol: z.enum(['y-websocket', 'hocuspocus']),
        presence: z.array(jsonSchema).meta({ description: 'What they say of themselves: name, cursor' }),
      }),
    ),
  })
  .meta({ id: 'Connections' });

export const statistics = z
  .object({
    createdAt: time,
    lastEditAt: time.nullable().meta({
      description: 'When the last edit was made; null when there is none',
    }),
    rows: z.int().meta({ description: 'Updates that no snapshot holds yet' }),
    rowBytes: z.number(),
    snapshotBytes: z.int(),
    snapshotAt: time.nullable(),
    setAside: z.int().meta({ description: 'Updates that cannot be read' }),
    bytes: z.number().meta({ description: 'Of rows and snapshot' }),
    people: z.int().meta({ description: 'Users who are connected' }),
    connections: z.int().meta({ description: 'At all instances' }),
  })
  .meta({ id: 'Statistics' });

export const revocation = z
  .strictObject({ document: z.string().optional(), user: z.string().optional() })
  .meta({ id: 'Revocation', description: 'A document, a user, or both' });

export const accessAnswer = z
  .object({ user: z.string().nullable(), access: z.enum(ACCESS) })
  .meta({ id: 'Access' });
