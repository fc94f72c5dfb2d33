import type { Context } from 'hono';
import { every } from 'hono/combine';
import { createMiddleware } from 'hono/factory';
import type * as Y from 'yjs';
import { z } from 'zod';
import { operate } from '../documents/operations.ts';
import type { FirstContent } from '../documents/on-load.ts';
import type { ProgramDocuments } from '../documents/program-documents.ts';
import { documentOf } from '../documents/values.ts';
import { IndelibleError } from '../errors.ts';
import type { StoredAnswer } from '../storage/requests.ts';
import type { CallerEnv, Callers } from './caller.ts';
import { etagOf, names } from './conditions.ts';
import { UPDATE, describe, json, jsonOf, mediaTypeOf, queryOf, type DescribedApp } from './described.ts';
import type { Attempt, Done, Idempotency } from './idempotency.ts';
import { typesOf } from './reads.ts';
import * as schemas from './schemas.ts';

const key = {
  'idempotency-key': z.string().optional().meta({
    description: 'What is asked with the same one within a day is done once, and answered the same',
  }),
};
const tags = ['Documents'];
const NO_CONTENT: StoredAnswer = { status: 204, headers: {}, body: null };

/** Of all that changes documents PATCH alone can tell at the moment of its change what version there is. */
const refuseConditions = createMiddleware(async (context, next) => {
  if (context.req.header('if-match') !== undefined)
    throw new IndelibleError('bad_request', 'If-Match is for PATCH');
  await next();
});

export interface ChangeRoutesOptions {
  readonly documents: ProgramDocuments;
  readonly callers: Callers;
  readonly idempotency: Idempotency;
}

/** What can be done to documents. */
export function changeRoutes(app: DescribedApp, options: ChangeRoutesOptions): void {
  const { documents, callers, idempotency } = options;
  const body = callers.hasBody();
  const unconditional = every(refuseConditions, body);
  describe(
    app,
    {
      method: 'post',
      path: '/api/documents/{name}',
      tags,
      summary: 'Creates a document, blank or with first content',
      request: {
        params: schemas.inPath,
        query: schemas.createQuery,
        headers: z.object(key),
        body: {
          content: { 'application/json': { schema: schemas.content }, [UPDATE]: { schema: schemas.update } },
        },
      },
      responses: { 201: json('It is created', schemas.created), 409: { description: 'There is one' } },
    },
    callers.may('write'),
    unconditional,
    (context) => idempotency.answer(context, (attempt) => create(context, documents, attempt)),
  );
  describe(
    app,
    {
      method: 'patch',
      path: '/api/documents/{name}',
      tags,
      summary: 'Changes a document in one transaction; answered when that is committed',
      request: {
        params: schemas.inPath,
        headers: z.object({
          ...key,
          'if-match': z.string().optional().meta({ description: 'Only if the document still has this ETag' }),
        }),
        body: {
          content: { 'application/json': { schema: schemas.patch }, [UPDATE]: { schema: schemas.update } },
        },
      },
      responses: {
        204: { description: 'It is committed; ETag is that of the document with it' },
        412: { description: 'The document has moved on; ETag is its present one' },
      },
    },
    callers.may('write'),
    body,
    (context) => idempotency.answer(context, (attempt) => change(context, documents, attempt)),
  );
  describe(
    app,
    {
      method: 'delete',
      path: '/api/documents/{name}',
      tags,
      summary: 'Deletes a document; sockets close with 4404, and it can be restored for KEEP_DELETED_HOURS',
      request: { params: schemas.inPath, headers: z.object(key) },
      responses: { 204: { description: 'It is deleted' } },
    },
    callers.may('admin'),
    unconditional,
    (context) =>
      idempotency.answer(context, async (attempt) => {
        await documents.delete(context.get('name'), { request: attempt?.record(NO_CONTENT) });
        return { answer: NO_CONTENT, isRecorded: true };
      }),
  );
  for (const [word, summary] of [
    ['restore', 'Brings the document back that was deleted last under this name'],
    ['erase', 'Deletes a document, and those that were deleted under its name, for good'],
  ] as const)
    describe(
      app,
      {
        method: 'post',
        path: `/api/documents/{name}/${word}`,
        tags,
        summary,
        request: { params: schemas.inPath, headers: z.object(key) },
        responses: { 204: { description: 'It is done' } },
      },
      callers.may('admin'),
      unconditional,
      (context) =>
        idempotency.answer(context, async (attempt) => {
          await documents[word](context.get('name'), { request: attempt?.record(NO_CONTENT) });
          return { answer: NO_CONTENT, isRecorded: true };
        }),
    );
  describe(
    app,
    {
      method: 'post',
      path: '/api/documents/{name}/duplicate',
      tags,
      summary: 'Creates a document with what this one holds; needs `write` for the new name',
      request: {
        params: schemas.inPath,
        headers: z.object(key),
        body: { required: true, content: { 'application/json': { schema: schemas.target } } },
      },
      responses: { 201: json('It is created', schemas.created) },
    },
    callers.may('read'),
    unconditional,
    (context) =>
      idempotency.answer(context, async (attempt) => {
        const to = await targetOf(context, callers, 'write');
        const answer = createdAnswer(to);
        const request = attempt?.record(answer);
        await documents.duplicate(context.get('name'), to, { user: context.get('user'), request });
        return { answer, isRecorded: true };
      }),
  );
  describe(
    app,
    {
      method: 'post',
      path: '/api/documents/{name}/rename',
      tags,
      summary:
        'Gives a document another name, which needs `admin` for both; sockets of the old one close with 4404',
      request: {
        params: schemas.inPath,
        headers: z.object(key),
        body: { required: true, content: { 'application/json': { schema: schemas.target } } },
      },
      responses: { 204: { description: 'It is done' } },
    },
    callers.may('admin'),
    unconditional,
    (context) =>
      idempotency.answer(context, async (attempt) => {
        const to = await targetOf(context, callers, 'admin');
        await documents.rename(context.get('name'), to, { request: attempt?.record(NO_CONTENT) });
        return { answer: NO_CONTENT, isRecorded: true };
      }),
  );
}

async function create(
  context: Context<CallerEnv>,
  documents: ProgramDocuments,
  attempt: Attempt | undefined,
): Promise<Done> {
  const name = context.get('name');
  const answer = createdAnswer(name);
  const content = await contentOf(context);
  await documents.create(name, { content, user: context.get('user'), request: attempt?.record(answer) });
  return { answer, isRecorded: true };
}

async function contentOf(context: Context): Promise<FirstContent | undefined> {
  const bytes = new Uint8Array(await context.req.arrayBuffer());
  if (bytes.byteLength === 0) return undefined;
  if (mediaTypeOf(context) === UPDATE) return bytes;
  const { type } = queryOf(context, schemas.createQuery);
  return documentOf(await jsonOf(context, schemas.content), typesOf(type));
}

function createdAnswer(name: string): StoredAnswer {
  const Location = `/api/documents/${encodeURIComponent(name)}`;
  const body = JSON.stringify({ name } satisfies z.input<typeof schemas.created>);
  return { status: 201, headers: { 'Content-Type': 'application/json', Location }, body };
}

async function change(
  context: Context<CallerEnv>,
  documents: ProgramDocuments,
  attempt: Attempt | undefined,
): Promise<Done> {
  const expected = context.req.header('if-match');
  let present = '';
  // Without a condition nobody has to find out what version there is.
  const expects =
    expected === undefined
      ? undefined
      : (version: string) => {
          present = version;
          return names(expected, version);
        };
  const request = attempt && {
    ...attempt,
    record: (version: string) => attempt.record(changed(version)),
  };
  const edit = await editOf(context);
  try {
    const options = { user: context.get('user'), expects, request };
    const { version, ...done } = await documents.edit(context.get('name'), edit, options);
    return { answer: changed(version), ...done };
  } catch (error) {
    const hasMovedOn = error instanceof IndelibleError && error.code === 'document_changed';
    if (hasMovedOn) context.header('ETag', etagOf(present));
    throw error;
  }
}

async function editOf(context: Context<CallerEnv>): Promise<Uint8Array | ((doc: Y.Doc) => void)> {
  if (mediaTypeOf(context) === UPDATE) return new Uint8Array(await context.req.arrayBuffer());
  const { operations } = await jsonOf(context, schemas.patch);
  return (doc) => operate(doc, operations);
}

function changed(version: string): StoredAnswer {
  return { status: 204, headers: { ETag: etagOf(version) }, body: null };
}

async function targetOf(context: Context, callers: Callers, needed: 'write' | 'admin'): Promise<string> {
  const { to } = await jsonOf(context, schemas.target);
  await callers.demand(context, to, needed);
  return to;
}
