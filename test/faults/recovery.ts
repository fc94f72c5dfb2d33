/**
 * How soon somebody's edit is acknowledged, from the moment that the database is there again or the line to it is new: what
 * F2, F3, F40, F44 and F51 promise.
 */
export const FIRST_ACK_MS = 3_000;
