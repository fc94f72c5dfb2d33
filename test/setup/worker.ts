import { inject } from 'vitest';
import { enterProcess } from './run-directory.ts';

// A worker whose runner was killed would finish its test file first; so the keeper ends it too.
await enterProcess(inject('runDirectory'), process.pid, 'SIGKILL');
