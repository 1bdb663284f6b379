/** Files below /proc/sys, in a network namespace. Keys are paths, `net/ipv4/conf/eth0.7/rp_filter`: names may hold dots. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ExitCode, TsnatError } from '../errors.js'
import type { NetworkNamespace } from './namespace.js'

const file = (key: string): string => join('/proc/sys', key)

/** The value without its final newline; null when there is no such key. */
export const readSysctl = (namespace: NetworkNamespace, key: string): string | null =>
  namespace.run(() => {
    try {
      return readFileSync(file(key), 'utf8').trimEnd()
    } catch {
      return null
    }
  })

/** @throws TsnatError SYSCTL when the key is missing, read-only (as in most containers), or refuses the value */
export const writeSysctl = (namespace: NetworkNamespace, key: string, value: string): void => {
  try {
    // One write(2): the kernel takes each for a whole value.
    namespace.run(() => { writeFileSync(file(key), `${value}\n`, { flag: 'r+' }) })
  } catch (cause) {
    const { code = 'unknown' } = cause as { code?: string }
    const readOnly = code === 'EROFS'
    const denied = code === 'EACCES' || code === 'EPERM'
    const remedy = readOnly
      ? `/proc/sys is read-only here, as in most containers: give the engine --sysctl ${key.replaceAll('/', '.')}=${value}`
      : 'this needs CAP_NET_ADMIN: run as root, or give the capability'
    throw new TsnatError(`cannot set ${key} to "${value}": ${code}`, {
      code: 'SYSCTL',
      ...(readOnly || denied ? { hint: remedy } : {}),
      exitCode: readOnly || denied ? ExitCode.permission : ExitCode.failure,
      cause,
    })
  }
}
