import {
  createLocalJWKSet,
  createRemoteJWKSet,
  decodeProtectedHeader,
  errors,
  jwtVerify,
  type JWTPayload,
  type JWTVerifyGetKey,
  type JWTVerifyOptions,
} from 'jose';
import { IndelibleError, messageOf } from '../errors.ts';
import type { Log } from '../log.ts';

/** The key server is asked again for a key that is not known, or after a failure, at most this often. */
const COOLDOWN_MS = 3_000;
/** Keys are asked for again after this time, so that one that was taken back ends. */
const SERVE_MS = 10 * 60_000;
const TIMEOUT_MS = 5_000;

type FoundKey = Awaited<ReturnType<JWTVerifyGetKey>>;

/**
 * The keys that an identity provider publishes. While it is away, the keys that are known serve on; a key that is not
 * known cannot be judged then, which must not look like a refusal.
 */
export class PublishedKeys {
  readonly #remote: ReturnType<typeof createRemoteJWKSet>;
  readonly #log: Log;
  /** When it could not be asked last: one that is silent would hold up every token, though its key is known. */
  #failedAt = -Infinity;

  constructor(url: string, log: Log) {
    this.#log = log;
    this.#remote = createRemoteJWKSet(new URL(url), {
      cooldownDuration: COOLDOWN_MS,
      cacheMaxAge: SERVE_MS,
      timeoutDuration: TIMEOUT_MS,
    });
  }

  /**
   * What a token says.
   * @throws what `jose` throws about the token; {@link IndelibleError} `auth_unavailable`
   */
  async verify(token: string, options: JWTVerifyOptions): Promise<JWTPayload> {
    try {
      return await verifyWith(this.#find, token, options);
    } catch (error) {
      // One that does not say which key it was signed with may be of a new one.
      if (!isSignatureWrong(error) || decodeProtectedHeader(token).kid !== undefined) throw error;
    }
    await this.#askAgain().catch(unavailable);
    return verifyWith(this.#find, token, options);
  }

  readonly #find: JWTVerifyGetKey = async (header, token) => {
    const hasFailed = this.#failedAt + COOLDOWN_MS > Date.now();
    const served = hasFailed ? await this.#findKnown(header, token) : undefined;
    if (served !== undefined) return served;
    try {
      return await this.#findOrAsk(header, token);
    } catch (error) {
      if (isAboutTheToken(error)) throw error;
      this.#failedAt = Date.now();
      this.#log.warn({ err: error }, 'the key server cannot be asked');
      return (await this.#findKnown(header, token)) ?? unavailable(error);
    }
  };

  readonly #findOrAsk: JWTVerifyGetKey = async (header, token) => {
    const isCoolingDown = this.#remote.coolingDown;
    try {
      return await this.#remote(header, token);
    } catch (error) {
      // It was not asked, having been asked just now; it may have a new key since.
      if (!(error instanceof errors.JWKSNoMatchingKey && isCoolingDown)) throw error;
      await this.#askAgain();
      return this.#remote(header, token);
    }
  };

  async #findKnown(...[header, token]: Parameters<JWTVerifyGetKey>): Promise<FoundKey | undefined> {
    const known = this.#remote.jwks();
    try {
      return known && (await createLocalJWKSet(known)(header, token));
    } catch (error) {
      if (error instanceof errors.JWKSMultipleMatchingKeys) throw error;
      // A key that it may have published since.
      return undefined;
    }
  }

  /** Asks for the keys as soon as that is due, unless they are asked for meanwhile. */
  async #askAgain(): Promise<void> {
    if (this.#remote.coolingDown) await new Promise((resolve) => setTimeout(resolve, COOLDOWN_MS));
    if (!this.#remote.coolingDown) await this.#remote.reload();
  }
}

function unavailable(error: unknown): never {
  throw new IndelibleError('auth_unavailable', messageOf(error), { cause: error });
}

async function verifyWith(
  keyOf: JWTVerifyGetKey,
  token: string,
  options: JWTVerifyOptions,
): Promise<JWTPayload> {
  try {
    return (await jwtVerify(token, keyOf, options)).payload;
  } catch (error) {
    if (!(error instanceof errors.JWKSMultipleMatchingKeys)) throw error;
    // A token that does not say which key it was signed with, while there are several: during a rotation, say.
    for await (const key of error) {
      try {
        return (await jwtVerify(token, key, options)).payload;
      } catch (cause) {
        if (!isSignatureWrong(cause)) throw cause;
      }
    }
    throw new errors.JWSSignatureVerificationFailed();
  }
}

function isSignatureWrong(error: unknown): boolean {
  return error instanceof errors.JWSSignatureVerificationFailed;
}

/** Whether the key server was asked, or did not have to be, and the token is the one to blame. */
function isAboutTheToken(error: unknown): boolean {
  return (
    error instanceof errors.JWKSNoMatchingKey ||
    error instanceof errors.JWKSMultipleMatchingKeys ||
    error instanceof errors.JOSENotSupported
  );
}
