import { type CryptoKey, type JWTPayload, SignJWT } from 'jose';

export const SECRET = 'a key that is long enough for HS256, of 32 characters';

/** What a token says; what is undefined it does not say. */
export type Claims = { [K in keyof JWTPayload]: JWTPayload[K] | undefined };

/** How a token is signed. */
export interface Signature {
  key?: string | Uint8Array | CryptoKey;
  alg?: string;
  kid?: string;
}

/** A time for a token, in whole seconds. */
export function inSeconds(seconds: number): number {
  return Math.floor(Date.now() / 1000) + seconds;
}

/** Claims of somebody who may write everywhere for a minute, unless they say otherwise. */
function claimsOf(claims?: Claims): JWTPayload {
  const all: Claims = {
    sub: 'anna',
    access: { '**': 'write' },
    iat: inSeconds(0),
    exp: inSeconds(60),
    ...claims,
  };
  return all as JWTPayload;
}

/** A token that says exactly what it is told to say. */
export function mint(claims?: Claims, { key = SECRET, alg = 'HS256', kid }: Signature = {}) {
  return new SignJWT(claimsOf(claims))
    .setProtectedHeader({ alg, ...(kid !== undefined && { kid }) })
    .sign(typeof key === 'string' ? new TextEncoder().encode(key) : key);
}

const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');

/** A token whose header says that it needs no signature. */
export function mintUnsigned(claims?: Claims): string {
  return `${part({ alg: 'none' })}.${part(claimsOf(claims))}.`;
}

/** What `GET /api/access` says of a token, as `200 write` or `401 unauthorized`. */
export async function askAccess(
  url: string,
  name: string,
  token: string | null,
  headers: Record<string, string> = {},
): Promise<string> {
  const response = await fetch(`${url}/api/access/${encodeURIComponent(name)}`, {
    headers: { ...headers, ...(token !== null && { Authorization: `Bearer ${token}` }) },
  });
  const { access, code } = (await response.json()) as { access?: string; code?: string };
  return `${response.status} ${access ?? code}`;
}
