import { join } from 'node:path'

/**
 * Where running instances keep their control socket, journal and log: `/run/tsnat`, or what TSNAT_RUN_DIR says (for an
 * unprivileged user, who may not write there, and for tests).
 */
export const runDirectory = (): string => process.env['TSNAT_RUN_DIR'] || '/run/tsnat'

/** The folder of one instance, e.g. `/run/tsnat/default`. */
export const instanceDirectory = (name: string): string => join(runDirectory(), name)
