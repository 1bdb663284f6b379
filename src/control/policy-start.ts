/** Rules, routes and sets before the gateway starts: what its configuration names is read and checked as a whole. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Logger } from 'pino'
import type { Config } from '../config.js'
import { systemRandom } from '../stack/random.js'
import { native } from '../native.js'
import { tableNames } from '../policy/iproute/index.js'
import { interfaceNames } from './followed-routes.js'
import type { FollowedTables } from './main-table.js'
import { readPolicy } from './policy-load.js'
import { PolicyService } from './policy-service.js'

const TABLE_FOLDERS = ['/usr/share/iproute2', '/etc/iproute2']

const readLines = (path: string): string[] => {
  try {
    return readFileSync(path, 'utf8').split('\n')
  } catch {
    return []
  }
}

const filesIn = (folder: string): string[] => {
  try {
    return readdirSync(folder).filter((name) => name.endsWith('.conf')).map((name) => join(folder, name))
  } catch {
    return []
  }
}

/** Names of routing tables as `ip` knows them on this host. Lines that are no such names are passed over, as there. */
export const hostTableNames = (): ReadonlyMap<number, string> => {
  const names = new Map<number, string>()
  const files = TABLE_FOLDERS.flatMap((folder) => [join(folder, 'rt_tables'), ...filesIn(join(folder, 'rt_tables.d'))])
  for (const line of files.flatMap(readLines)) {
    try {
      for (const [number, name] of tableNames(line)) names.set(number, name)
    } catch {
      // Not a name.
    }
  }
  return names
}

/**
 * The service with what the configuration says, checked against the interfaces and routes that there are. Nothing on the host is changed.
 * @param now milliseconds on the data plane's clock
 * @throws TsnatError with file, line and column
 */
export const openPolicy = async (config: Config, log: Logger, now: () => number, { devices, routes }: FollowedTables): Promise<PolicyService> => {
  const random = systemRandom()
  const service = new PolicyService({
    log, interfaces: interfaceNames(config), seed: random.next() | 0, now, random: () => random.next(), tableNames: hostTableNames,
  })
  await service.setLinks(devices, routes)
  const texts = readPolicy(config)
  // An interface that is not there is told of by the checks of the host.
  const isMissing = config.wans.some((wan) => native().interfaceIndex(wan.interface) === 0)
  service.load(isMissing ? { ...texts, ipBatch: null } : texts)
  return service
}
