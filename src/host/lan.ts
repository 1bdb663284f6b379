/**
 * The LAN end in the kernel: the TUN's address, and which traffic goes into it.
 *
 * The TUN itself belongs to its descriptor: when tsnat is gone, the interface is, with its address, its routes and its
 * sysctls. What does not go with it (policy rules, the routing table, sysctls of other interfaces) is in the journal.
 *
 * Capture `default`, in the namespace of the WAN, sends what would take the default route into the TUN:
 *
 *     P    oif WAN lookup main            sockets bound to a WAN device; one rule for each WAN
 *     P    from WANADDR lookup main       replies of this host's servers; one rule for each address, kept up to date
 *     P+1  lookup main suppress_prefixlength 0    whatever has a route of its own, but not the default route
 *     P+2  not fwmark MARK lookup N       all else (MARK: packets of the raw driver)
 *
 * where table N holds the default route by the TUN. P is as late as possible, so that policy rules of others, which are
 * more specific as a rule, keep their effect. In a namespace of its own (`--netns`) a plain default route by the TUN does.
 *
 * Capture of interfaces sends what arrives on them into the TUN, see lan-interfaces.ts. `none` leaves routing alone.
 *
 * Table N ends with an unreachable default route, which comes into force when the TUN's own is gone: after a crash nothing
 * passes beside tsnat, least of all with its private source address, until `tsnat down` or the next `up` tidies up.
 */
import { ExitCode, TsnatError } from '../errors.js'
import { native } from '../native.js'
import { addRule, claimTable, freePriority, lastRoute } from './changes.js'
import type { Journal, Step } from './journal.js'
import { CapturedInterfaces } from './lan-interfaces.js'
import { gatewayAddressOf } from './lan-subnet.js'
import type { NetworkNamespace } from './namespace.js'
import { Rtnetlink } from './rtnetlink.js'
import { TABLE_MAIN } from './rtnetlink-types.js'
import type { Rule } from './rtnetlink-types.js'
import { readSysctl, writeSysctl } from './sysctl.js'

export type Capture = 'default' | 'none' | { readonly iif: readonly string[] }

export interface LanOptions {
  /** Where the TUN is. */
  namespace: NetworkNamespace
  /** Name of the TUN, which is open already. */
  name: string
  /** The kernel's end, int32. */
  address: number
  /** 1-31. */
  prefixLength: number
  /** Bytes. */
  mtu: number
  /** Packets that may wait for tsnat to read them; 1000 when absent. Too few cost bulk TCP its speed. */
  txQueueLength?: number
  capture: Capture
  wan: {
    namespace: NetworkNamespace
    /** Interfaces, at least one. */
    names: readonly string[]
    /** That the kernel has on any of them. */
    addresses: readonly number[]
  }
  /** SO_MARK of packets that must not be captured; 0 for none. */
  bypassMark?: number
  /** Refuse captured traffic while the TUN is gone, rather than let it take the default route. True when absent. */
  failClosed?: boolean
  journal: Journal
}

const TX_QUEUE_LENGTH = 1000
/** Milliseconds between two looks at the counter of packets that the queue had no room for. */
const DROPS_INTERVAL = 1000
/** rp_filter: a source is believed if any route leads to it. The kernel takes the stricter of `all` and the interface's. */
const RP_FILTER_LOOSE = '2'

export class Lan {
  readonly ifindex: number
  /** tsnat's own address on the LAN, int32. */
  readonly gatewayAddress: number
  /** What could not be set but is not vital, one sentence each. */
  readonly warnings: readonly string[]
  readonly #options: LanOptions
  readonly #rtnetlink: Rtnetlink
  readonly #warnings: string[] = []
  #table: number | null = null
  #interfaces: CapturedInterfaces | null = null
  /** Priority of the rules for WAN addresses, and the rules there are; null when the capture has none. */
  #bypassPriority: number | null = null
  readonly #bypass = new Map<number, Step>()
  #last: Promise<void> = Promise.resolve()
  #dropsTimer: NodeJS.Timeout | undefined
  /** Counter of the TUN when this began: one that was there already may have dropped before. */
  #droppedBefore = 0
  #dropped = 0

  /**
   * Configures the TUN and what enters it. What was changed by then when this throws is in the journal.
   * @throws TsnatError BAD_LAN_ADDRESS, DEFAULT_ROUTE_EXISTS, UNKNOWN_INTERFACE, CAPTURE_WAN, SYSCTL, or NetlinkError
   */
  static async open(options: LanOptions): Promise<Lan> {
    const lan = new Lan(options)
    try {
      await lan.#setUp()
      return lan
    } catch (error) {
      lan.close()
      throw error
    }
  }

  private constructor(options: LanOptions) {
    this.#options = options
    this.warnings = this.#warnings
    this.gatewayAddress = gatewayAddressOf(options.address, options.prefixLength)
    this.ifindex = options.namespace.run(() => native().interfaceIndex(options.name))
    this.#rtnetlink = new Rtnetlink(options.namespace)
  }

  /** Number of the routing table in use; null when there is none. */
  get table(): number | null {
    return this.#table
  }

  /** Packets that the TUN's queue had no room for, so that tsnat never saw them. At most a second old. */
  get dropped(): number {
    return this.#dropped
  }

  async setMtu(mtu: number): Promise<void> {
    await this.#rtnetlink.setLink(this.ifindex, { mtu })
  }

  /** The WANs have these addresses now. Where that concerns the capture, rules are added and removed. @throws NetlinkError */
  updateWanAddresses(addresses: readonly number[]): Promise<void> {
    const turn = this.#last.then(() => this.#bypassAddresses(addresses))
    this.#last = turn.catch(() => {})
    return turn
  }

  /** Stops following the host's network. Undoing is the journal's; the TUN goes with its descriptor. */
  close(): void {
    clearInterval(this.#dropsTimer)
    this.#interfaces?.close()
    this.#rtnetlink.close()
  }

  async #setUp(): Promise<void> {
    const { address, prefixLength, mtu, txQueueLength = TX_QUEUE_LENGTH, capture } = this.#options
    const addAddress = (): Promise<void> => this.#rtnetlink.addAddress(this.ifindex, address, prefixLength)
    this.#prepareSysctls()
    await this.#rtnetlink.setLink(this.ifindex, { mtu, txQueueLength, up: true })
    await this.#watchDrops()
    if (capture === 'default' && this.#isForeign) {
      await addAddress()
      await this.#addOnlyDefaultRoute()
      return
    }
    if (typeof capture === 'object') await this.#captureInterfaces(capture.iif)
    else if (capture === 'default') await this.#captureDefault()
    // Last: a socket that has this address from an earlier run would otherwise send by the WAN until it is captured.
    await addAddress()
  }

  async #watchDrops(): Promise<void> {
    this.#droppedBefore = await this.#rtnetlink.txDropped(this.ifindex)
    const look = async (): Promise<void> => {
      this.#dropped = await this.#rtnetlink.txDropped(this.ifindex) - this.#droppedBefore
    }
    // A TUN that is gone, which ends the gateway, keeps its last number.
    this.#dropsTimer = setInterval(() => { look().catch(() => {}) }, DROPS_INTERVAL)
    this.#dropsTimer.unref()
  }

  get #isForeign(): boolean {
    const { namespace, wan } = this.#options
    return namespace.id !== wan.namespace.id
  }

  /** Settings of the TUN, which go with it. They are helpful, not vital: /proc/sys may be read-only. */
  #prepareSysctls(): void {
    const { namespace, name } = this.#options
    // The Internet's addresses arrive here, while the kernel would look for them beyond the WAN.
    this.#trySysctl(`net/ipv4/conf/${name}/rp_filter`, RP_FILTER_LOOSE, () => {
      const strictest = ['all', name].map((which) => Number(readSysctl(namespace, `net/ipv4/conf/${which}/rp_filter`) ?? 0))
      return Math.max(...strictest) === 1
    })
    // Router solicitations and the like are noise: nothing behind the TUN speaks IPv6.
    this.#trySysctl(`net/ipv6/conf/${name}/disable_ipv6`, '1', () => false)
  }

  #trySysctl(key: string, value: string, matters: () => boolean): void {
    const { namespace } = this.#options
    const present = readSysctl(namespace, key)
    if (present === null || present === value) return
    try {
      writeSysctl(namespace, key, value)
    } catch (error) {
      if (!(error instanceof TsnatError)) throw error
      if (matters()) this.#warnings.push(`${error.message}; replies may be dropped by the reverse path filter`)
    }
  }

  async #addDefaultRoute(table: number, by: { gateway?: number } = {}): Promise<void> {
    await this.#rtnetlink.addRoute({ table, type: 'unicast', destination: 0, prefixLength: 0, ifindex: this.ifindex, ...by })
  }

  /** In a namespace that tsnat serves alone, the default route goes with the TUN: nothing to undo. */
  async #addOnlyDefaultRoute(): Promise<void> {
    const routes = await this.#rtnetlink.routes()
    const present = routes.find(({ table, prefixLength }) => table === TABLE_MAIN && prefixLength === 0)
    if (present !== undefined) {
      throw new TsnatError(`network namespace "${this.#options.namespace.label}" has a default route already`, {
        code: 'DEFAULT_ROUTE_EXISTS',
        hint: 'remove it there ("ip route del default"), or leave routing as it is with --capture none',
        exitCode: ExitCode.config,
      })
    }
    await this.#addDefaultRoute(TABLE_MAIN, { gateway: this.gatewayAddress })
  }

  /** The table with the default route by the TUN. */
  async #prepareTable(rules: readonly Rule[]): Promise<number> {
    const { journal, namespace, failClosed = true } = this.#options
    const table = await claimTable(journal, namespace, this.#rtnetlink, rules, await this.#rtnetlink.routes())
    this.#table = table
    await this.#addDefaultRoute(table)
    if (!failClosed) await this.#rtnetlink.deleteRoute(lastRoute(table))
    return table
  }

  async #captureDefault(): Promise<void> {
    const { journal, namespace, wan, bypassMark = 0 } = this.#options
    const rules = await this.#rtnetlink.rules()
    const table = await this.#prepareTable(rules)
    const priority = freePriority(rules, 3)
    const add = (rule: Rule): Promise<Step> => addRule(journal, namespace, this.#rtnetlink, rule)
    // The rule that captures comes last, so that nothing is captured that should not be.
    for (const outputInterface of wan.names) await add({ priority, table: TABLE_MAIN, outputInterface })
    this.#bypassPriority = priority
    await this.updateWanAddresses(wan.addresses)
    await add({ priority: priority + 1, table: TABLE_MAIN, suppressPrefixLength: 0 })
    const unmarked = bypassMark === 0 ? {} : { mark: { value: bypassMark, mask: 0xffffffff }, invert: true }
    await add({ priority: priority + 2, table, ...unmarked })
  }

  async #bypassAddresses(addresses: readonly number[]): Promise<void> {
    const { journal, namespace } = this.#options
    const priority = this.#bypassPriority
    if (priority === null) return
    for (const address of new Set(addresses)) {
      if (this.#bypass.has(address)) continue
      const rule = { priority, table: TABLE_MAIN, source: { address, prefixLength: 32 } }
      this.#bypass.set(address, await addRule(journal, namespace, this.#rtnetlink, rule))
    }
    for (const [address, step] of this.#bypass) {
      if (addresses.includes(address)) continue
      this.#bypass.delete(address)
      await journal.revert(step)
    }
  }

  async #captureInterfaces(names: readonly string[]): Promise<void> {
    const { journal, namespace, name, wan } = this.#options
    const rules = await this.#rtnetlink.rules()
    const table = await this.#prepareTable(rules)
    this.#interfaces = await CapturedInterfaces.open({
      journal,
      namespace,
      rtnetlink: this.#rtnetlink,
      names,
      tun: name,
      address: this.#options.address,
      wans: this.#isForeign ? [] : wan.names,
      table,
      priority: freePriority(rules, 1),
      warn: (sentence) => this.#warnings.push(sentence),
    })
  }
}
