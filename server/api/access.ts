import { z } from 'zod';
import { EVERY_DOCUMENT } from '../auth/grant.ts';
import type { RevocationRequest } from '../auth/revocations.ts';
import { IndelibleError } from '../errors.ts';
import { orUnavailable } from '../storage/sql-errors.ts';
import { describe, json, jsonOf, type DescribedApp } from './described.ts';
import type { Callers } from './caller.ts';
import * as schemas from './schemas.ts';

const tags = ['Access'];

export interface AccessRoutesOptions {
  readonly callers: Callers;
  readonly revoke: (request: RevocationRequest) => Promise<void>;
}

/** What a token allows, and taking it back. */
export function accessRoutes(app: DescribedApp, { callers, revoke }: AccessRoutesOptions): void {
  describe(
    app,
    {
      method: 'get',
      path: '/api/access/{name}',
      tags,
      summary: 'What the bearer of a token may do with a document, before opening a socket that says less',
      request: { params: z.object({ name: z.string() }) },
      responses: { 200: json('Who they are, and what they may do', schemas.accessAnswer) },
    },
    callers.may('read'),
    (context) => context.json({ user: context.get('user'), access: context.get('access') }),
  );
  describe(
    app,
    {
      method: 'post',
      path: '/api/revocations',
      tags,
      summary:
        'Takes access back: sockets close with 4403, and tokens issued before are refused. Needs `admin` for the document; for a user ' +
        'everywhere for all (`**`)',
      request: { body: { required: true, content: { 'application/json': { schema: schemas.revocation } } } },
      responses: { 204: { description: 'It is stored, and sockets of this instance are closed' } },
    },
    callers.isKnown(),
    callers.hasBody(),
    async (context) => {
      const request = await jsonOf(context, schemas.revocation);
      if (request.document === undefined && request.user === undefined)
        throw new IndelibleError('bad_revocation');
      await callers.demand(context, request.document ?? EVERY_DOCUMENT, 'admin');
      await orUnavailable(revoke(request));
      return context.body(null, 204);
    },
  );
}
