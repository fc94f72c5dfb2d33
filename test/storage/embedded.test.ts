import { documentStoreContract } from './document-store.contract.ts';
import { updateLogContract } from './update-log.contract.ts';

updateLogContract('embedded');
documentStoreContract('embedded');
