/**
 * Capture of interfaces: what arrives on them goes into the TUN, and IPv4 is forwarded between them and it.
 *
 * One policy rule for each interface leads to table N, with the default route by the TUN. What the main table sends
 * elsewhere than through a WAN (to another captured interface, into a VPN) is none of tsnat's business: table N has a
 * throw route for each such destination, which sends the lookup on to the main table. These follow the main table. What
 * leads through a WAN, its own subnet included, is captured: it must not leave with its private source address.
 *
 * What the kernel has to say of packets that came out of the TUN (host unreachable, fragmentation needed) goes back into it, so that
 * tsnat translates what it quotes: it is sent from the TUN's address, to which a rule of its own applies.
 *
 * Forwarding is switched on for the interfaces concerned only, not by `ip_forward`, which would reset the settings of all.
 */
import { ExitCode, TsnatError } from '../errors.js'
import { native } from '../native.js'
import { addRule, changeSysctl } from './changes.js'
import { unknownInterface } from './interface-error.js'
import type { Journal } from './journal.js'
import type { NetworkNamespace } from './namespace.js'
import { EventGroup, NetlinkEvents } from './netlink-events.js'
import { isErrno } from './netlink-error.js'
import type { Rtnetlink } from './rtnetlink.js'
import { TABLE_MAIN } from './rtnetlink-types.js'
import type { Route, RouteRequest } from './rtnetlink-types.js'

export interface CapturedInterfacesOptions {
  journal: Journal
  namespace: NetworkNamespace
  /** The session of the LAN, in that namespace. */
  rtnetlink: Rtnetlink
  /** Interfaces whose arriving traffic is captured. */
  names: readonly string[]
  tun: string
  /** The kernel's end of the TUN, int32. */
  address: number
  /** None when they are in another namespace. */
  wans: readonly string[]
  table: number
  priority: number
  /** Told of what could not be set but is not vital. */
  warn: (sentence: string) => void
}

/** As the input interface of a rule: what this host sends. */
const LOOPBACK = 'lo'
/** An ICMP error about a forwarded packet has the address of the interface that it came by, rather than of that which it leaves by. */
const ERRORS_FROM_INBOUND = 'net/ipv4/icmp_errors_use_inbound_ifaddr'
/** Pause between two looks at the routes, for a routing daemon at work. */
const PAUSE_MILLISECONDS = 100

const keyOf = ({ destination, prefixLength }: Pick<Route, 'destination' | 'prefixLength'>): string =>
  `${destination}/${prefixLength}`

export class CapturedInterfaces {
  readonly #options: CapturedInterfacesOptions
  /** Destinations of the throw routes there are. */
  readonly #thrown = new Map<string, RouteRequest>()
  readonly #events: NetlinkEvents
  #busy = false
  #dirty = false
  #closed = false
  #pause: NodeJS.Timeout | undefined

  /** @throws TsnatError UNKNOWN_INTERFACE, CAPTURE_WAN, SYSCTL, or NetlinkError */
  static async open(options: CapturedInterfacesOptions): Promise<CapturedInterfaces> {
    const { journal, namespace, rtnetlink, names, tun, table, priority, address } = options
    for (const name of names) requireCapturable(name, options)
    const captured = new CapturedInterfaces(options)
    try {
      await captured.#follow()
      // Undone in reverse: nothing is forwarded any more when the rules go that keep it from leaving untranslated.
      for (const name of new Set(names)) await addRule(journal, namespace, rtnetlink, { priority, table, inputInterface: name })
      await addRule(journal, namespace, rtnetlink, { priority, table, source: { address, prefixLength: 32 }, inputInterface: LOOPBACK })
      await captured.#translateErrors()
      for (const name of [...names, tun]) await changeSysctl(journal, namespace, `net/ipv4/conf/${name}/forwarding`, '1')
      return captured
    } catch (error) {
      captured.close()
      throw error
    }
  }

  private constructor(options: CapturedInterfacesOptions) {
    this.#options = options
    const mark = (): void => this.#markDirty()
    this.#events = new NetlinkEvents(options.namespace, [EventGroup.link, EventGroup.address, EventGroup.route], {
      link: mark,
      address: mark,
      route: (route) => {
        if (route.table === TABLE_MAIN) mark()
      },
      lost: mark,
    })
  }

  /** Helpful, not vital: /proc/sys may be read-only. */
  async #translateErrors(): Promise<void> {
    const { journal, namespace, warn } = this.#options
    try {
      await changeSysctl(journal, namespace, ERRORS_FROM_INBOUND, '1')
    } catch (error) {
      if (!(error instanceof TsnatError) || error.code !== 'SYSCTL') throw error
      warn(`${error.message}; ICMP errors of this host about packets to inside hosts leave without translation`)
    }
  }

  close(): void {
    this.#closed = true
    clearTimeout(this.#pause)
    this.#events.close()
  }

  #markDirty(): void {
    this.#dirty = true
    if (this.#busy || this.#closed) return
    this.#busy = true
    setImmediate(() => {
      this.#follow()
        // Whatever was refused is tried again at the next change; the state in between is that of a moment ago.
        .catch(() => {})
        .finally(() => {
          this.#pause = setTimeout(() => {
            this.#busy = false
            if (this.#dirty) this.#markDirty()
          }, PAUSE_MILLISECONDS).unref()
        })
    })
  }

  /** Makes the throw routes what the main table asks for. */
  async #follow(): Promise<void> {
    const { rtnetlink, namespace, wans, tun, table } = this.#options
    this.#dirty = false
    const captured = namespace.run(() => [...wans, tun].map((name) => native().interfaceIndex(name)))
    const staysOut = (route: Route): boolean =>
      route.type === 'unicast' && route.prefixLength > 0 && !captured.includes(route.ifindex)
    const routes = (await rtnetlink.routes()).filter((route) => route.table === TABLE_MAIN)
    // A multipath route of which one way is a WAN is captured.
    const throughWan = new Set(routes.filter(({ ifindex }) => captured.includes(ifindex)).map(keyOf))
    const wanted = new Map(routes.filter(staysOut).map((route) => [keyOf(route), route]))
    for (const [key, { destination, prefixLength }] of wanted) {
      if (this.#closed || this.#thrown.has(key) || throughWan.has(key)) continue
      const request: RouteRequest = { table, type: 'throw', destination, prefixLength }
      await rtnetlink.addRoute(request)
      this.#thrown.set(key, request)
    }
    for (const [key, request] of this.#thrown) {
      if (this.#closed || (wanted.has(key) && !throughWan.has(key))) continue
      this.#thrown.delete(key)
      try {
        await rtnetlink.deleteRoute(request)
      } catch (error) {
        if (!isErrno(error, 'ESRCH')) throw error
      }
    }
  }
}

const requireCapturable = (name: string, { namespace, wans, tun }: CapturedInterfacesOptions): void => {
  if (namespace.run(() => native().interfaceIndex(name)) === 0) throw unknownInterface(name, namespace)
  const isWan = wans.includes(name)
  if (!isWan && name !== tun) return
  throw new TsnatError(`interface "${name}" is the ${isWan ? 'WAN' : 'TUN'} and cannot be captured`, {
    code: 'CAPTURE_WAN',
    hint: 'name the interfaces of the LAN in --capture iif=…',
    exitCode: ExitCode.usage,
  })
}
