/**
 * The guard: keeps from the host's kernel what belongs to tsnat's flows.
 *
 * Without it the kernel, which knows nothing of these flows, would answer their replies on a shared address with RST and
 * port-unreachable; what comes to an address that it does not have it would forward, where it is told to forward. The
 * ingress guard sits on the WAN device behind the taps: a packet socket bound to ETH_P_ALL has seen a packet when the guard
 * drops it. On shared addresses it drops TCP, UDP, UDP-Lite and SCTP to tsnat's ports, what is forwarded as a whole, and nothing
 * else; ICMP, other protocols and later fragments, which have no ports, pass to the kernel, which does nothing with them (the first fragment is dropped, so nothing is reassembled), but that it
 * would say so of protocols that it does not have. A second table drops that on its way out. To addresses that are tsnat's
 * alone the ingress guard drops everything, and to inside hosts that are not translated what the kernel would forward.
 *
 * With the raw driver there is no packet socket, and replies have to reach the kernel's raw sockets. There the output guard
 * drops the kernel's answers instead: RST from tsnat's ports, and port-unreachable that quote them. What tsnat itself sends
 * carries its mark, and passes.
 *
 * Both keep what is the TUN's from leaving by the WAN, untranslated: answers to forged source addresses, which come out of the TUN and
 * which the kernel would route there, and what this host sends from the TUN's address to a neighbour on the WAN.
 *
 * A guard is a table of nf_tables, made over nfnetlink from this process and owned by its socket, so it is gone when the
 * process is, however that ends. Addresses and ports are sets in it; they are replaced in one transaction, without a moment
 * in which nothing, or something of both, is guarded.
 */
import { ExitCode, TsnatError } from '../errors.js'
import { native } from '../native.js'
import { ALL_SETS, fillSets, flushSets, guardsInside, ingressTable, insideRule, outputTable, SILENCE_SETS, silenceTable } from './guard-rules.js'
import type { GuardScope } from './guard-rules.js'
import { unknownInterface } from './interface-error.js'
import { ownNamespace } from './namespace.js'
import type { NetworkNamespace } from './namespace.js'
import { NetlinkError } from './netlink-error.js'
import { Nfnetlink } from './nfnetlink.js'
import { deleteTable, Family } from './nft-messages.js'
import type { NftMessage } from './nft-messages.js'

export type { GuardScope } from './guard-rules.js'

const UNSUPPORTED = ['EOPNOTSUPP', 'EAFNOSUPPORT', 'EPROTONOSUPPORT', 'EINVAL', 'ENOENT', 'ENOPROTOOPT']

/** What a refusal most likely means. */
const guardError = (error: unknown, table: string, device: string | null): unknown => {
  if (!(error instanceof NetlinkError)) return error
  const where = device === null ? '' : ` on ${device}`
  // EPERM for an operation on the table, other than for the transaction, says that another socket owns it.
  if (error.errno === 'EEXIST' || (error.errno === 'EPERM' && error.operation.includes('table "'))) {
    return new TsnatError(`there is a netfilter table "${table}" already`, {
      code: 'GUARD_EXISTS',
      hint: 'another instance of this name runs here, perhaps with another TSNAT_RUN_DIR: choose another --name',
      exitCode: ExitCode.device,
      cause: error,
    })
  }
  if (!UNSUPPORTED.includes(error.errno)) return error
  return new TsnatError(`this kernel cannot guard tsnat's addresses${where}: ${error.message}`, {
    code: 'GUARD_UNSUPPORTED',
    hint: 'it needs Linux 5.12 with CONFIG_NF_TABLES_NETDEV and CONFIG_NETFILTER_INGRESS; '
      + 'without them give tsnat an address of its own: --wan-address owned:…',
    exitCode: ExitCode.device,
    cause: error,
  })
}

/** The kernel's own answer to a missing device is a bare ENOENT. */
const requireDevice = (device: string | null, namespace: NetworkNamespace): void => {
  if (device !== null && namespace.run(() => native().interfaceIndex(device)) === 0) throw unknownInterface(device, namespace)
}

interface Plan {
  table: string
  /** A table of this name in each family, and its sets. */
  tables: readonly (readonly [family: Family, sets: typeof ALL_SETS])[]
  /** Null where the table is not bound to a device. */
  device: string | null
  build(device: string | null, scope: GuardScope): NftMessage[]
}

/** A table that is in force until `close`, or the end of the process. */
export class Guard {
  readonly #plan: Plan
  readonly #namespace: NetworkNamespace
  readonly #netfilter: Nfnetlink
  #scope: GuardScope
  /** The rule about inside hosts is in the table. */
  #hasInside: boolean

  private constructor(plan: Plan, scope: GuardScope, namespace: NetworkNamespace) {
    this.#plan = plan
    this.#scope = scope
    this.#hasInside = guardsInside(scope)
    this.#namespace = namespace
    this.#netfilter = new Nfnetlink(namespace)
  }

  static async #make(plan: Plan, scope: GuardScope, namespace: NetworkNamespace): Promise<Guard> {
    requireDevice(plan.device, namespace)
    let guard: Guard | undefined
    try {
      guard = new Guard(plan, scope, namespace)
      await guard.#netfilter.transaction(plan.build(plan.device, scope))
      return guard
    } catch (error) {
      guard?.close()
      throw guardError(error, plan.table, plan.device)
    }
  }

  /**
   * Drops replies to tsnat's flows on their way from the WAN device into the host's kernel.
   * @param name of the instance; the tables are `tsnat-NAME` of families netdev and ip
   * @throws TsnatError GUARD_UNSUPPORTED, GUARD_EXISTS, or NetlinkError
   */
  static onIngress(name: string, device: string, scope: GuardScope, namespace: NetworkNamespace = ownNamespace()): Promise<Guard> {
    const table = `tsnat-${name}`
    const build: Plan['build'] = (on, what) => [...ingressTable(table, on ?? device, what), ...silenceTable(table, what)]
    return Guard.#make({ table, tables: [[Family.netdev, ALL_SETS], [Family.ipv4, SILENCE_SETS]], device, build }, scope, namespace)
  }

  /**
   * Drops the kernel's RST and port-unreachable to tsnat's flows on their way out, for the raw driver.
   * @param name of the instance; the table is `tsnat-NAME` of family ip
   * @param mark SO_MARK of tsnat's own packets, which pass; not 0
   * @throws as {@link onIngress}
   */
  static onOutput(name: string, mark: number, scope: GuardScope, namespace: NetworkNamespace = ownNamespace()): Promise<Guard> {
    const table = `tsnat-${name}`
    const build: Plan['build'] = (_, what) => outputTable(table, mark, what)
    return Guard.#make({ table, tables: [[Family.ipv4, ALL_SETS]], device: null, build }, scope, namespace)
  }

  get table(): string {
    return this.#plan.table
  }

  /**
   * Guards other addresses and ports from now on, without a gap. Returns false when this kernel has no means to guard inside hosts
   * (NFT_FIB_NETDEV), and all else is guarded. @throws NetlinkError; the old ones then stay in force
   */
  async update(scope: GuardScope): Promise<boolean> {
    const { tables, table, device } = this.#plan
    const changes = tables.flatMap(([family, sets]) => [...flushSets(family, table, sets), ...fillSets(family, table, sets, scope)])
    if (device === null || !guardsInside(scope) || this.#hasInside) await this.#netfilter.transaction(changes)
    else {
      try {
        await this.#netfilter.transaction([...changes, insideRule(table)])
        this.#hasInside = true
      } catch (error) {
        if (!(error instanceof NetlinkError) || !UNSUPPORTED.includes(error.errno)) throw error
        await this.update({ ...scope, inside: [] })
        return false
      }
    }
    this.#scope = scope
    return true
  }

  /** Makes the guard anew on a device that was removed and is back, or on another one. @throws as {@link onIngress} */
  async rebind(device: string): Promise<void> {
    const { tables, table, build } = this.#plan
    requireDevice(device, this.#namespace)
    try {
      await this.#netfilter.transaction([...tables.map(([family]) => deleteTable(family, table)), ...build(device, this.#scope)])
      this.#hasInside = guardsInside(this.#scope)
    } catch (error) {
      throw guardError(error, table, device)
    }
  }

  /** Ends the guard. */
  close(): void {
    this.#netfilter.close()
  }
}
