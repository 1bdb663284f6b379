/** What can be seen to be wrong before anything is changed. Each function refuses one thing with one clear error. */
import { closeSync, openSync } from 'node:fs'
import { ExitCode, TsnatError } from '../errors.js'
import { native } from '../native.js'
import { unknownInterface } from './interface-error.js'
import { runningInstances } from './journal.js'
import type { Claims, Instance, WanClaim } from './journal.js'
import { requireFreeSubnet } from './lan-subnet.js'
import type { Subnet } from './lan-subnet.js'
import type { NetworkNamespace } from './namespace.js'
import { formatPorts, intersectPorts, parsePorts } from './port-set.js'

// linux/capability.h
const CAP_NET_ADMIN = 12
const CAP_NET_RAW = 13
const CAP_SYS_ADMIN = 21

const CAPABILITIES = [
  { bit: CAP_NET_ADMIN, name: 'CAP_NET_ADMIN', foreignOnly: false },
  { bit: CAP_NET_RAW, name: 'CAP_NET_RAW', foreignOnly: false },
  { bit: CAP_SYS_ADMIN, name: 'CAP_SYS_ADMIN', foreignOnly: true },
]

/**
 * @param foreign the TUN goes into another namespace
 * @throws TsnatError MISSING_CAPABILITY
 */
export const requireCapabilities = (foreign: boolean): void => {
  const [low] = native().capabilities()
  const needed = CAPABILITIES.filter(({ foreignOnly }) => foreign || !foreignOnly)
  const missing = needed.filter(({ bit }) => ((low >>> bit) & 1) === 0).map(({ name }) => name)
  if (missing.length === 0) return
  const list = missing.map((name) => name.toLowerCase()).join(',')
  const purpose = missing.includes('CAP_SYS_ADMIN') ? ' (to enter the namespace of --netns)' : ''
  throw new TsnatError(`missing ${missing.join(' and ')}${purpose}`, {
    code: 'MISSING_CAPABILITY',
    hint: `run as root, or give it to node: setcap ${list}+ep ${process.execPath}; `
      + 'in a container: --cap-add NET_ADMIN --cap-add NET_RAW',
    exitCode: ExitCode.permission,
  })
}

const TUN_DEVICE = '/dev/net/tun'

/** @throws TsnatError NO_TUN_DEVICE */
export const requireTunDevice = (path = TUN_DEVICE): void => {
  try {
    closeSync(openSync(path, 'r+'))
  } catch (cause) {
    const { code } = cause as { code?: string }
    const denied = code === 'EACCES' || code === 'EPERM'
    throw new TsnatError(denied ? `may not open ${path}` : `cannot open ${path}: ${code ?? String(cause)}`, {
      code: 'NO_TUN_DEVICE',
      hint: denied
        ? 'run as root, or as root once: chmod 666 /dev/net/tun; in a container allow the device: --device /dev/net/tun'
        : 'load the module (modprobe tun); in a container pass the device: --device /dev/net/tun',
      exitCode: denied ? ExitCode.permission : ExitCode.device,
      cause,
    })
  }
}

/** @throws TsnatError UNKNOWN_INTERFACE listing those that exist */
export const requireInterface = (name: string, namespace: NetworkNamespace): void => {
  if (namespace.run(() => native().interfaceIndex(name)) === 0) throw unknownInterface(name, namespace)
}

/** @throws TsnatError INTERFACE_IN_USE when the name of the TUN to be made is taken */
export const requireFreeName = (name: string, namespace: NetworkNamespace): void => {
  if (namespace.run(() => native().interfaceIndex(name)) === 0) return
  const holder = runningInstances().find(({ claims: { lan } }) => lan.interface === name && lan.namespace === namespace.id)
  const whose = holder === undefined ? '' : `: it is the LAN of instance "${holder.name}" (pid ${holder.pid})`
  throw new TsnatError(`interface "${name}" exists already${whose}`, {
    code: 'INTERFACE_IN_USE',
    hint: 'choose another name with --lan, for example tun1',
    exitCode: ExitCode.device,
  })
}

/** What two instances on one WAN interface both want; null when they can live side by side. */
const conflict = (ours: WanClaim, theirs: WanClaim): string | null => {
  const address = ours.addresses.find((one) => theirs.addresses.includes(one))
  if (address !== undefined) return `address ${address}`
  if (ours.ports === null || theirs.ports === null) return null
  const shared = intersectPorts(parsePorts(ours.ports), parsePorts(theirs.ports))
  return shared.length === 0 ? null : `ports ${formatPorts(shared)}`
}

/** @throws TsnatError WAN_IN_USE when another instance has ports or addresses of a WAN that this one wants */
export const requireUnclaimed = (name: string, { wans }: Claims, running: readonly Instance[] = runningInstances()): void => {
  for (const other of running) {
    if (other.name === name) continue
    for (const wan of wans) {
      const theirs = other.claims.wans.find((one) => one.interface === wan.interface && one.namespace === wan.namespace)
      const what = theirs === undefined ? null : conflict(wan, theirs)
      if (what === null) continue
      throw new TsnatError(`interface "${wan.interface}" is in use by instance "${other.name}" (pid ${other.pid}): both want ${what}`, {
        code: 'WAN_IN_USE',
        hint: `stop it with "tsnat down --name ${other.name}", or give this one other --ports or an address of its own`,
        exitCode: ExitCode.device,
      })
    }
  }
}

export interface PreflightOptions {
  name: string
  claims: Claims
  wanNamespace: NetworkNamespace
  lanNamespace: NetworkNamespace
  /** The LAN's subnet, by the kernel's end. */
  subnet: Subnet
}

/** All checks, in an order in which the most basic trouble is named first. */
export const preflight = async ({ name, claims, wanNamespace, lanNamespace, subnet }: PreflightOptions): Promise<void> => {
  const foreign = wanNamespace.id !== lanNamespace.id
  requireCapabilities(foreign)
  requireTunDevice()
  for (const wan of claims.wans) requireInterface(wan.interface, wanNamespace)
  requireUnclaimed(name, claims)
  requireFreeName(claims.lan.interface, lanNamespace)
  await requireFreeSubnet(subnet, foreign ? [wanNamespace, lanNamespace] : [wanNamespace])
}
