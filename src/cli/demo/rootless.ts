/** The demo without root: in a user namespace, whose root may make network namespaces and TUN interfaces. */
import { spawn, spawnSync } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import { once } from 'node:events'
import { ExitCode, TsnatError } from '../../errors.js'
import { native } from '../../native.js'

const CAP_NET_ADMIN = 12
const CAP_SYS_ADMIN = 21
const inNamespaces = ['--user', '--map-root-user', '--net', '--mount']

/** Whether this process may make network namespaces and configure them. */
const privileged = (): boolean => {
  const needed = (1 << CAP_NET_ADMIN) | (1 << CAP_SYS_ADMIN)
  return (native().capabilities()[0] & needed) === needed
}

/** @throws TsnatError DEMO_TUN when /dev/net/tun cannot be opened */
const checkTun = (): void => {
  try {
    accessSync('/dev/net/tun', constants.R_OK | constants.W_OK)
  } catch (cause) {
    const missing = (cause as NodeJS.ErrnoException).code === 'ENOENT'
    throw new TsnatError(missing ? 'there is no /dev/net/tun' : 'no permission to open /dev/net/tun', {
      code: 'DEMO_TUN',
      hint: missing ? 'load the module: "modprobe tun"; in a container, add the device: "--device /dev/net/tun"' : 'run the demo as root',
      exitCode: missing ? ExitCode.device : ExitCode.permission,
      cause,
    })
  }
}

/**
 * Starts the same command again inside of a user namespace, where it has to be.
 * @returns the exit code of that run; null when this process itself may go on
 * @throws TsnatError DEMO_PERMISSION where unprivileged user namespaces are forbidden, DEMO_TUN
 */
export const runUnprivileged = async (): Promise<number | null> => {
  checkTun()
  if (privileged()) return null
  const probe = spawnSync('unshare', [...inNamespaces, 'true'], { encoding: 'utf8' })
  if (probe.status !== 0) {
    const said = (probe.error?.message ?? probe.stderr).trim()
    throw new TsnatError(`the demo needs root, or user namespaces, which are not allowed here (${said})`, {
      code: 'DEMO_PERMISSION',
      hint: 'run it with sudo, or allow them: "sysctl kernel.unprivileged_userns_clone=1", on Ubuntu "sysctl kernel.apparmor_restrict_unprivileged_userns=0"',
      exitCode: ExitCode.permission,
    })
  }
  const again = spawn('unshare', [...inNamespaces, '--', process.execPath, ...process.argv.slice(1)], { stdio: 'inherit' })
  // Ctrl-C reaches the whole foreground group; this process only waits for the other's end.
  const ignore = (): void => {}
  process.on('SIGINT', ignore)
  const [code] = await once(again, 'exit') as [number | null]
  process.off('SIGINT', ignore)
  return code ?? ExitCode.failure
}
