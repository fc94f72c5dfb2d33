/** The package: a server to embed, and what its options and errors are made of. */
export { createServer, type CloseResult, type Server, type ServerOptions } from './server.ts';
export { IndelibleError, type ErrorCode } from './errors.ts';
export type { AccessRequest, Authorize, Grant } from './auth/grant.ts';
export type { RevocationRequest } from './auth/revocations.ts';
export type { ConnectionInfo } from './cluster/cluster.ts';
export type { DocumentCopy, Json, RootType } from './documents/content.ts';
export type {
  ChangeOptions,
  CreateOptions,
  DocumentChange,
  DocumentList,
  DocumentListener,
  Documents,
  ListOptions,
} from './documents/documents.ts';
export type { FirstContent, OnLoad } from './documents/on-load.ts';
export type { DocumentStatistics } from './storage/document-statistics.ts';
export type { SettingOptions } from './config.ts';
