import { SignJWT, errors, jwtVerify, type JWTPayload, type JWTVerifyOptions } from 'jose';
import { z } from 'zod';
import { IndelibleError, messageOf } from '../errors.ts';
import type { Log } from '../log.ts';
import { ACCESS, NotThisDocument, accessTo, type AccessLevel, type Authorize } from './grant.ts';
import { isUserId } from './names.ts';
import { PublishedKeys } from './published-keys.ts';

/** Clocks of issuer and server may differ by this much. */
const CLOCK_TOLERANCE_SECONDS = 60;

const SECRET_ALGORITHMS = ['HS256'];
const PUBLISHED_ALGORITHMS = ['RS256', 'ES256', 'EdDSA'];

const claimsSchema = z.object({
  sub: z.string().refine(isUserId, 'sub is 1 to 255 bytes without control characters'),
  name: z.string().optional(),
  access: z.record(z.string(), z.enum(ACCESS)).default({}),
  exp: z.number(),
  // One from the future would outlast every revocation.
  iat: z
    .number()
    .refine((iat) => iat * 1000 <= Date.now() + CLOCK_TOLERANCE_SECONDS * 1000, 'it is issued in the future')
    .optional(),
});

/** What a token says. */
export interface TokenClaims {
  /** Id of the user. */
  readonly sub: string;
  readonly name?: string | undefined;
  /** Patterns of document names to what may be done with them, e.g. `{ "notes/*": "write" }`. */
  readonly access: Readonly<Record<string, AccessLevel>>;
}

/** Where keys come from, and what else a token must say. */
export interface TokenOptions {
  /** HS256 key; or else `jwksUrl`. */
  readonly secret: string | undefined;
  /** Address of the JSON Web Key Set of an identity provider. */
  readonly jwksUrl: string | undefined;
  readonly issuer: string | undefined;
  readonly audience: string | undefined;
}

/** The token of an `Authorization` header. */
export function bearerOf(authorization: string | undefined): string | null {
  return /^Bearer (.+)$/i.exec(authorization ?? '')?.[1] ?? null;
}

/** Access by JSON Web Tokens. `exp` and `sub` are required; a token without `iat` counts as issued long ago. */
export function authorizeByToken(options: TokenOptions, log: Log): Authorize {
  const verify = createVerifier(options, log);
  return async ({ token, document }) => {
    if (token === null || token === '') throw new IndelibleError('unauthorized', 'no token');
    const { sub, access: patterns, exp, iat } = await readClaims(verify, token);
    const access = accessTo(document, patterns);
    if (access === null) throw new NotThisDocument(sub);
    return { user: sub, access, expiresAt: endOf(exp), issuedAt: (iat ?? 0) * 1000 };
  };
}

/** At `exp`; by our clock it may be past already, and then it is the issuer's that counts, a minute behind at most. */
function endOf(exp: number): number {
  const end = exp * 1000;
  return end > Date.now() ? end : end + CLOCK_TOLERANCE_SECONDS * 1000;
}

type Verify = (token: string) => Promise<JWTPayload>;

async function readClaims(verify: Verify, token: string): Promise<z.output<typeof claimsSchema>> {
  try {
    return claimsSchema.parse(await verify(token));
  } catch (error) {
    if (error instanceof IndelibleError) throw error;
    const code = error instanceof errors.JWTExpired ? 'token_expired' : 'unauthorized';
    throw new IndelibleError(code, messageOf(error), { cause: error });
  }
}

function createVerifier({ secret, jwksUrl, issuer, audience }: TokenOptions, log: Log): Verify {
  const options: JWTVerifyOptions = {
    algorithms: jwksUrl === undefined ? SECRET_ALGORITHMS : PUBLISHED_ALGORITHMS,
    requiredClaims: ['exp', 'sub'],
    clockTolerance: CLOCK_TOLERANCE_SECONDS,
    ...(issuer !== undefined && { issuer }),
    ...(audience !== undefined && { audience }),
  };
  if (jwksUrl !== undefined) {
    const keys = new PublishedKeys(jwksUrl, log);
    return (token) => keys.verify(token, options);
  }
  const key = new TextEncoder().encode(secret);
  return async (token) => (await jwtVerify(token, key, options)).payload;
}

/**
 * Mints a token.
 * @param lifetime - seconds until it expires
 * @param marks - issuer and audience, where the server asks for them
 */
export function mintToken(
  secret: string,
  claims: TokenClaims,
  lifetime: number,
  { issuer, audience }: Partial<Pick<TokenOptions, 'issuer' | 'audience'>> = {},
): Promise<string> {
  const { sub, name, access } = claims;
  const token = new SignJWT({ access, ...(name !== undefined && { name }) })
    .setProtectedHeader({ alg: 'HS256' })
    .setSubject(sub)
    .setIssuedAt()
    .setExpirationTime(Math.floor(Date.now() / 1000) + lifetime);
  if (issuer !== undefined) token.setIssuer(issuer);
  if (audience !== undefined) token.setAudience(audience);
  return token.sign(new TextEncoder().encode(secret));
}
