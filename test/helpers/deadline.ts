/** How long a test waits for something that should happen at once. */
const DEADLINE_MS = 10_000;

/** Tells everyone who subscribed that something may have changed. */
export interface Signal {
  fire: () => void;
  subscribe: (listener: () => void) => () => void;
}

export interface Waiting {
  /** What is being waited for; read again when the deadline has passed, so it may report where things stand. */
  what: () => string;
  check: () => boolean;
  /** Why it can no longer happen, if so: fails at once instead of at the deadline. */
  hopeless?: () => string | undefined;
  signal: Signal;
  deadlineMs?: number | undefined;
}

export function createSignal(): Signal {
  const listeners = new Set<() => void>();
  return {
    fire() {
      for (const listener of listeners) listener();
    },
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

/** Resolves as soon as `check` holds, looking again whenever the signal fires: no polling, no sleeping. */
export async function until(waiting: Waiting): Promise<void> {
  const { what, check, hopeless, signal, deadlineMs } = waiting;
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const look = () => {
    if (check()) return resolve();
    const reason = hopeless?.();
    if (reason !== undefined) reject(new Error(`${what()}: ${reason}`));
  };
  const unsubscribe = signal.subscribe(look);
  try {
    look();
    await within(what, promise, deadlineMs);
  } finally {
    unsubscribe();
  }
}

/** The promise's value, or an error that says what did not happen in time. */
export async function within<T>(
  what: () => string,
  promise: Promise<T>,
  deadlineMs = DEADLINE_MS,
): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error(`${what()}: not within ${deadlineMs} ms`)), deadlineMs);
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
