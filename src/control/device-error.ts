/** Refusals of the kernel to open a device, in words. */
import { ExitCode, TsnatError } from '../errors.js'

const codeOf = (error: unknown): string => (error as NodeJS.ErrnoException).code ?? String(error)
const isDenied = (code: string): boolean => code === 'EPERM' || code === 'EACCES'

/** Why the TUN could not be made, beyond what is looked at before. */
export const tunError = (name: string, error: unknown): TsnatError => {
  const code = codeOf(error)
  if (isDenied(code)) {
    return new TsnatError(`may not make the TUN "${name}"`, {
      code: 'TUN_PERMISSION',
      hint: 'it needs CAP_NET_ADMIN in the user namespace that owns the network namespace: run as root there',
      exitCode: ExitCode.permission,
      cause: error,
    })
  }
  if (code === 'EBUSY' || code === 'EINVAL') {
    return new TsnatError(`interface "${name}" exists already`, {
      code: 'INTERFACE_IN_USE', hint: 'choose another name with --lan, for example tun1', exitCode: ExitCode.device, cause: error,
    })
  }
  return new TsnatError(`cannot make the TUN "${name}": ${code}`, {
    code: 'TUN_FAILED',
    hint: code === 'ENOTTY' ? '/dev/net/tun is some other device: make it with "mknod /dev/net/tun c 10 200"' : 'see whether "ip tuntap add mode tun" works',
    exitCode: ExitCode.device,
    cause: error,
  })
}

/** Why no packet socket could be opened on the WAN. */
export const packetError = (name: string, error: unknown): TsnatError => {
  const code = codeOf(error)
  const denied = isDenied(code)
  return new TsnatError(`cannot open a packet socket on ${name}: ${code}`, {
    code: denied ? 'PACKET_PERMISSION' : 'PACKET_FAILED',
    hint: denied ? 'it needs CAP_NET_RAW: run as root' : 'where packet sockets are refused, --wan-driver raw may work',
    exitCode: denied ? ExitCode.permission : ExitCode.device,
    cause: error,
  })
}
