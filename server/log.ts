import { pino, stdSerializers, type DestinationStream, type Logger } from 'pino';

/** Structured logger. Lines never hold a token or the text of a document. */
export type Log = Logger;

/**
 * @param level - pino level, or `silent`
 * @param destination - where lines go; standard output when left out
 */
export function createLog(level: string, destination?: DestinationStream): Log {
  const redact = ['token', '*.token', 'headers.authorization'];
  const options = { level, base: {}, redact, serializers: { err: serializeError } };
  return destination === undefined ? pino(options) : pino(options, quietly(destination));
}

/** A program's destination may throw, and a line that is lost harms nobody. */
function quietly(destination: DestinationStream): DestinationStream {
  return {
    write: (line) => {
      try {
        destination.write(line);
      } catch {
        // There is nowhere to say it.
      }
    },
  };
}

/** Without the other properties of an error: those of `pg` hold the values of a row, those of `jose` the claims. */
function serializeError(error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  const { type, message, code, stack } = stdSerializers.err(error);
  return { type, message, code, stack };
}
