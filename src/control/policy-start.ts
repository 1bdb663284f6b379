/** Rules, routes and sets before the gateway starts: what its configuration names is read and checked as a whole. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Logger } from 'pino'
import type { Config } from '../config.js'
import { ownNamespace } from '../host/namespace.js'
import { Rtnetlink } from '../host/rtnetlink.js'
import { readWanState, type WanState } from '../host/wan-state.js'
import { systemRandom } from '../nat/random.js'
import { tableNames } from '../policy/iproute/index.js'
import { interfaceNames, linksOf } from './policy-links.js'
import { readPolicy } from './policy-load.js'
import { PolicyService } from './policy-service.js'
import { planWan } from './wan-plan.js'

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

const currentWan = async (name: string): Promise<WanState> => {
  const rtnetlink = new Rtnetlink(ownNamespace())
  try {
    return await readWanState(rtnetlink, name)
  } finally {
    rtnetlink.close()
  }
}

/**
 * The service with what the configuration says, checked against the WAN as it is. Nothing on the host is changed.
 * @param now milliseconds on the data plane's clock
 * @throws TsnatError with file, line and column
 */
export const openPolicy = async (config: Config, log: Logger, now: () => number): Promise<PolicyService> => {
  const random = systemRandom()
  const service = new PolicyService({
    log, interfaces: interfaceNames(config), seed: random.next() | 0, now, random: () => random.next(), tableNames: hostTableNames,
  })
  const texts = readPolicy(config)
  const state = texts.ipBatch === null ? null : await currentWan(config.wan)
  // An interface that is not there is told of by the checks of the host.
  const isMissing = state?.ifindex === 0
  if (state !== null && !isMissing) {
    const { devices, routes } = linksOf(state, planWan(state, config), config)
    await service.setLinks(devices, routes)
  }
  service.load(isMissing ? { ...texts, ipBatch: null } : texts)
  return service
}
