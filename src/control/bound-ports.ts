/** The ports that tsnat's own sockets are bound to, as the WANs and the guard have to know them. */
import type { HostPorts } from '../host/ports.js'
import { portSet } from '../host/port-set.js'
import type { PortUse } from '../stack/sockets/port-use.js'
import { PROTOCOL_TCP, PROTOCOL_UDP } from '../stack/wire/ipv4.js'
import { byProtocol } from './forward-plan.js'

const NUMBERS: Readonly<Record<string, number>> = { tcp: PROTOCOL_TCP, udp: PROTOCOL_UDP }

export class BoundPorts {
  readonly #bound = new Map<number, Set<number>>(Object.values(NUMBERS).map((protocol) => [protocol, new Set()]))
  readonly #tell: (ports: HostPorts) => Promise<void>
  #isTelling = false
  /** Resolves when the ports that are bound by now are known; null when they are. */
  #settled: Promise<void> | null = null

  /** @param ignored ports whose use is no news: they are tsnat's anyway; @param tell told after changes, of many at a time once; resolves when they are heard */
  constructor(use: PortUse, ignored: (port: number) => boolean, tell: (ports: HostPorts) => Promise<void>) {
    this.#tell = tell
    use.onBound = (protocol, port, isBound) => {
      const ports = this.#bound.get(protocol)
      if (ports === undefined || ignored(port)) return
      if (isBound) ports.add(port)
      else ports.delete(port)
      this.#later()
    }
  }

  /** Calls, soon, when the ports that are bound by now are heard. */
  readonly onceHeard = (then: () => void): void => {
    if (this.#settled === null) process.nextTick(then)
    else void this.#settled.then(then)
  }

  #later(): void {
    if (this.#isTelling) return
    this.#isTelling = true
    const settled = Promise.resolve().then(() => {
      this.#isTelling = false
      return this.#tell(byProtocol((name) => portSet([...(this.#bound.get(NUMBERS[name] ?? 0) ?? [])].map((port) => ({ first: port, last: port })))))
    }).then(() => { if (this.#settled === settled) this.#settled = null })
    this.#settled = settled
  }
}
