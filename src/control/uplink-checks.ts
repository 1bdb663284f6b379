/** The health checks of the WANs that have one: what they find goes to routing, to the log, and to who asks for the state. */
import type { Logger } from 'pino'
import type { Config } from '../config.js'
import type { NetworkNamespace } from '../host/namespace.js'
import { numberOfWan } from './followed-routes.js'
import { HealthChecker, type HealthState, verifyCheck } from './health/index.js'
import type { Uplink } from './uplink.js'

/** @throws TsnatError HEALTH_CHECK, HEALTH_CHECK_OWNED */
export const verifyChecks = ({ wans }: Pick<Config, 'wans'>): void => {
  for (const { check, address } of wans) if (check !== null) verifyCheck(check, address !== 'shared')
}

export class UplinkChecks {
  readonly #checkers = new Map<Uplink, HealthChecker>()

  /** @param tell whether the checks of an interface fail, by its number */
  constructor(uplinks: readonly Uplink[], namespace: NetworkNamespace, log: Logger, tell: (number: number, fails: boolean) => void) {
    for (const uplink of uplinks) {
      const { check } = uplink.config
      if (check === null) continue
      const { name, index } = uplink
      const link = { name, namespace, ifindex: () => uplink.state.ifindex, source: () => uplink.source, gateway: () => uplink.gateway }
      this.#checkers.set(uplink, new HealthChecker({
        link, check,
        onChange: (alive, reason) => {
          if (alive) log.info({ wan: name }, `the WAN ${name} is alive again: ${reason}`)
          else log.warn({ wan: name }, `the WAN ${name} is dead: ${reason}`)
          tell(numberOfWan(index), !alive)
        },
      }))
    }
  }

  start(): void {
    for (const checker of this.#checkers.values()) checker.start()
  }

  /** What the checks of a WAN have found; null where it has none. */
  of(uplink: Uplink): HealthState | null {
    return this.#checkers.get(uplink)?.state ?? null
  }

  stop(): void {
    for (const checker of this.#checkers.values()) checker.stop()
  }
}
