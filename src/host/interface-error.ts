import { readFileSync } from 'node:fs'
import { ExitCode, TsnatError } from '../errors.js'
import type { NetworkNamespace } from './namespace.js'

/** Names of the interfaces in a namespace, in the kernel's order. */
export const interfaceNames = (namespace: NetworkNamespace): string[] =>
  namespace.run(() => {
    // One line each: "  eth0: 1234 …", after two lines of headings.
    try {
      const lines = readFileSync('/proc/thread-self/net/dev', 'utf8').split('\n').slice(2)
      return lines.map((line) => line.split(':')[0]!.trim()).filter((name) => name !== '')
    } catch {
      return []
    }
  })

/** There is no interface of that name; the hint lists those that exist. */
export const unknownInterface = (name: string, namespace: NetworkNamespace): TsnatError => {
  const where = namespace.label === null ? '' : ` in network namespace "${namespace.label}"`
  const names = interfaceNames(namespace).filter((other) => other !== 'lo')
  return new TsnatError(`there is no interface "${name}"${where}`, {
    code: 'UNKNOWN_INTERFACE',
    hint: names.length === 0 ? 'there is none but the loopback' : `existing ones: ${names.join(', ')}`,
    exitCode: ExitCode.device,
  })
}
