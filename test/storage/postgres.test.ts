import { documentStoreContract } from './document-store.contract.ts';
import { updateLogContract } from './update-log.contract.ts';

updateLogContract('postgres');
documentStoreContract('postgres');
