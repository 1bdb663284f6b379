/** Changes of the host, each recorded in the journal before it is made. */
import { referenceTo } from './journal.js'
import type { Journal, Step } from './journal.js'
import type { NetworkNamespace } from './namespace.js'
import { isErrno } from './netlink-error.js'
import { formatPorts, subtractPorts, unitePorts } from './port-set.js'
import type { PortSet } from './port-set.js'
import { reservedPorts, RESERVED_PORTS_KEY } from './ports.js'
import type { Rtnetlink } from './rtnetlink.js'
import type { Route, RouteRequest, Rule } from './rtnetlink-types.js'
import { readSysctl, writeSysctl } from './sysctl.js'

/** Number of the first table tried, and how many: chosen to be nobody else's habit. */
const FIRST_TABLE = 29811
const TABLE_TRIES = 1000
/** Rules are placed below the kernel's own, of which the first is 32766, and after those of others. */
const LAST_PRIORITY = 32765

/** The least preferred route of a table: refuses what no other route takes. */
export const lastRoute = (table: number): RouteRequest =>
  ({ table, type: 'unreachable', destination: 0, prefixLength: 0, metric: 0xffffffff })

/** @throws TsnatError SYSCTL */
export const changeSysctl = async (journal: Journal, namespace: NetworkNamespace, key: string, after: string): Promise<void> => {
  const before = readSysctl(namespace, key)
  if (before === after) return
  const step: Step = { kind: 'sysctl', namespace: referenceTo(namespace), key, before: before ?? '', after }
  await journal.apply(step, () => writeSysctl(namespace, key, after))
}

/**
 * Keeps the kernel from choosing these ports for the host's own connections.
 * @throws TsnatError SYSCTL
 */
export const reservePorts = async (journal: Journal, namespace: NetworkNamespace, ports: PortSet): Promise<void> => {
  const present = reservedPorts(namespace)
  const added = subtractPorts(ports, present)
  if (added.length === 0) return
  const step: Step = { kind: 'reserved-ports', namespace: referenceTo(namespace), ports: formatPorts(added) }
  await journal.apply(step, () => writeSysctl(namespace, RESERVED_PORTS_KEY, formatPorts(unitePorts(present, added))))
}

/** Whether the kernel's port choice can be changed here; in most containers it cannot. Changes nothing. */
export const canReservePorts = (namespace: NetworkNamespace): boolean => {
  const present = readSysctl(namespace, RESERVED_PORTS_KEY)
  if (present === null) return false
  try {
    writeSysctl(namespace, RESERVED_PORTS_KEY, present)
    return true
  } catch {
    return false
  }
}

/** @returns the step, to be given to `journal.revert` when the rule is to go early */
export const addRule = async (journal: Journal, namespace: NetworkNamespace, rtnetlink: Rtnetlink, rule: Rule): Promise<Step> => {
  const step: Step = { kind: 'rule', namespace: referenceTo(namespace), rule }
  await journal.apply(step, () => rtnetlink.addRule(rule))
  return step
}

/** The first of `count` consecutive priorities that no rule has, as late as possible. */
export const freePriority = (rules: readonly Rule[], count: number): number => {
  const taken = new Set(rules.map(({ priority }) => priority))
  let first = LAST_PRIORITY - count + 1
  while (Array.from({ length: count }, (_, i) => first + i).some((priority) => taken.has(priority))) first--
  return first
}

/**
 * Takes a routing table that nobody uses, and puts {@link lastRoute} into it.
 * @returns its number
 */
export const claimTable = async (
  journal: Journal, namespace: NetworkNamespace, rtnetlink: Rtnetlink, rules: readonly Rule[], routes: readonly Route[],
): Promise<number> => {
  const used = new Set([...rules, ...routes].map(({ table }) => table))
  for (let table = FIRST_TABLE; table < FIRST_TABLE + TABLE_TRIES; table++) {
    if (used.has(table)) continue
    const step: Step = { kind: 'table', namespace: referenceTo(namespace), table }
    try {
      await journal.apply(step, () => rtnetlink.addRoute(lastRoute(table)))
      return table
    } catch (error) {
      // Another instance, starting at the same moment, was faster.
      if (!isErrno(error, 'EEXIST')) throw error
    }
  }
  throw new Error(`all routing tables from ${FIRST_TABLE} on are in use`)
}
