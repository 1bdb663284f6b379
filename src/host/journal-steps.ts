/**
 * The changes that tsnat makes on the host, as data that can be undone by another process later.
 *
 * A step is undone only where things still are as tsnat set them: what somebody changed since is theirs. Undoing a step
 * twice, or one whose change was never made, does nothing.
 */
import { formatPrefix } from '../stack/wire/address.js'
import { findNamespace } from './namespace.js'
import type { NetworkNamespace } from './namespace.js'
import { isErrno } from './netlink-error.js'
import { formatPorts, intersectPorts, parseKernelPorts, subtractPorts } from './port-set.js'
import { RESERVED_PORTS_KEY } from './ports.js'
import { Rtnetlink } from './rtnetlink.js'
import type { Route, RouteRequest, Rule } from './rtnetlink-types.js'
import { readSysctl, writeSysctl } from './sysctl.js'

/** Enough to find a namespace again. */
export interface NamespaceReference {
  id: string
  path: string
}

export const referenceTo = ({ id, path }: NetworkNamespace): NamespaceReference => ({ id, path })

export type Step = { namespace: NamespaceReference } & (
  | { kind: 'rule'; rule: Rule }
  /** A routing table that was empty before: all its routes are tsnat's. */
  | { kind: 'table'; table: number }
  | { kind: 'sysctl'; key: string; before: string; after: string }
  /** Ports that tsnat added to `ip_local_reserved_ports`. */
  | { kind: 'reserved-ports'; ports: string }
)

/** In the words of `ip rule`. */
const describeRule = ({ source, inputInterface, outputInterface, table }: Rule): string => [
  ...(source === undefined ? [] : [`from ${formatPrefix(source.address, source.prefixLength)}`]),
  ...(inputInterface === undefined ? [] : [`iif ${inputInterface}`]),
  ...(outputInterface === undefined ? [] : [`oif ${outputInterface}`]),
  `lookup ${table}`,
].join(' ')

export const describeStep = (step: Step): string => {
  switch (step.kind) {
    case 'rule': return `policy rule ${step.rule.priority} (${describeRule(step.rule)})`
    case 'table': return `routing table ${step.table}`
    case 'sysctl': return `${step.key.replaceAll('/', '.')} = ${step.before}`
    case 'reserved-ports': return `reserved ports ${step.ports}`
  }
}

/** `undone`; `left` where somebody else changed it since, or it was never made; `gone` with its namespace. */
export type UndoOutcome = 'undone' | 'left' | 'gone'

const isRemovable = (route: Route): route is Route & { type: RouteRequest['type'] } =>
  route.type === 'unicast' || route.type === 'unreachable' || route.type === 'throw'

const emptyTable = async (rtnetlink: Rtnetlink, table: number): Promise<UndoOutcome> => {
  const routes = (await rtnetlink.routes()).filter((route) => route.table === table).filter(isRemovable)
  for (const { type, destination, prefixLength, metric } of routes) {
    try {
      await rtnetlink.deleteRoute({ table, type, destination, prefixLength, metric })
    } catch (error) {
      // Gone meanwhile, with its interface.
      if (!isErrno(error, 'ESRCH')) throw error
    }
  }
  return routes.length > 0 ? 'undone' : 'left'
}

const removeRule = async (rtnetlink: Rtnetlink, rule: Rule): Promise<UndoOutcome> => {
  try {
    await rtnetlink.deleteRule(rule)
    return 'undone'
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return 'left'
    throw error
  }
}

const restoreSysctl = (namespace: NetworkNamespace, key: string, before: string, after: string): UndoOutcome => {
  if (readSysctl(namespace, key) !== after) return 'left'
  writeSysctl(namespace, key, before)
  return 'undone'
}

const releasePorts = (namespace: NetworkNamespace, text: string): UndoOutcome => {
  const reserved = parseKernelPorts(readSysctl(namespace, RESERVED_PORTS_KEY) ?? '')
  const ours = intersectPorts(reserved, parseKernelPorts(text))
  if (ours.length === 0) return 'left'
  writeSysctl(namespace, RESERVED_PORTS_KEY, formatPorts(subtractPorts(reserved, ours)))
  return 'undone'
}

/** @throws TsnatError when the kernel refuses, or the namespace cannot be entered */
export const undoStep = async (step: Step): Promise<UndoOutcome> => {
  const namespace = findNamespace(step.namespace.id, step.namespace.path)
  if (namespace === null) return 'gone'
  try {
    if (step.kind === 'sysctl') return restoreSysctl(namespace, step.key, step.before, step.after)
    if (step.kind === 'reserved-ports') return releasePorts(namespace, step.ports)
    const rtnetlink = new Rtnetlink(namespace)
    try {
      return step.kind === 'rule' ? await removeRule(rtnetlink, step.rule) : await emptyTable(rtnetlink, step.table)
    } finally {
      rtnetlink.close()
    }
  } finally {
    namespace.close()
  }
}
