import { Hono } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import { z } from 'zod';
import { isDocumentName } from '../auth/names.ts';
import { mintToken, type TokenOptions } from '../auth/tokens.ts';
import { IndelibleError } from '../errors.ts';

const LIFETIME_SECONDS = 24 * 60 * 60;
const MAX_BODY_BYTES = 4096;

/** What tokens are made with; that of the server. */
export interface DevTokenKey extends Pick<TokenOptions, 'issuer' | 'audience'> {
  readonly secret: string;
}

const requestSchema = z.object({
  document: z
    .string()
    .refine(
      (name) => isDocumentName(name) && !isPattern(name),
      'it is no name, or one that stands for several',
    ),
  access: z.enum(['read', 'write']),
  name: z.string().min(1).max(100).optional(),
});

/**
 * `POST /api/dev/tokens`: a token for one document, for anybody who asks. It lets people try out links for reading and editing;
 * in production the application makes them, which knows who may have one.
 */
export function devTokenRoutes({ secret, ...marks }: DevTokenKey): Hono {
  const limit = bodyLimit({
    maxSize: MAX_BODY_BYTES,
    onError: () => {
      throw new IndelibleError('bad_request', `it has more than ${MAX_BODY_BYTES} bytes`);
    },
  });
  return new Hono().post('/api/dev/tokens', limit, async (context) => {
    const request = requestSchema.safeParse(await context.req.json().catch(() => undefined));
    if (!request.success) throw new IndelibleError('bad_request', z.prettifyError(request.error));
    const { document, access, name } = request.data;
    const claims = { sub: `guest-${crypto.randomUUID()}`, name, access: { [document]: access } };
    return context.json({ token: await mintToken(secret, claims, LIFETIME_SECONDS, marks) });
  });
}

/** Whether a token for a document of this name would be one for others, too. */
function isPattern(name: string): boolean {
  return name.split('/').some((segment) => segment === '*' || segment === '**');
}
