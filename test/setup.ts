/** Generated tests begin with the same seed each time, so that a run tells of the code and not of chance; TSNAT_SEED tries others. */
import fc from 'fast-check'

fc.configureGlobal({ seed: Number(process.env['TSNAT_SEED'] ?? 1) })
