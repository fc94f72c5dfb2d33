import { Hono } from 'hono';
import type { Access } from '../auth/access.ts';
import { documentNameOf } from '../auth/names.ts';
import { bearerOf } from '../auth/tokens.ts';
import { IndelibleError } from '../errors.ts';

/** `GET /api/access/{name}`: what the bearer of a token may do with a document, before opening a socket that says less. */
export function accessRoutes(access: Access): Hono {
  return new Hono().get('/api/access/:name', async (context) => {
    const token = bearerOf(context.req.header('authorization'));
    const document = documentNameOf(lastSegmentOf(context.req.url));
    if (document === null) throw new IndelibleError('bad_name');
    const grant = await access.decide({ document, token });
    return context.json({ user: grant.user, access: grant.access });
  });
}

/** As it was sent: the router decodes what it can and leaves the rest, so that no name could be told from its encoding. */
function lastSegmentOf(url: string): string {
  const [path = ''] = url.split(/[?#]/, 1);
  return path.slice(path.lastIndexOf('/'));
}
