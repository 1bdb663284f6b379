import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'

/** Why the tests in network namespaces cannot run here; null when they can. */
export const whyNoNamespaces = () => {
  if (process.getuid?.() !== 0) return 'this is not root: run "sudo npm test"'
  if (spawnSync('unshare', ['--net', '--mount', 'true'], { stdio: 'ignore' }).status !== 0) {
    return 'root may not make namespaces here (a container without CAP_SYS_ADMIN?): run it with --privileged'
  }
  return existsSync('/dev/net/tun') ? null : 'there is no /dev/net/tun: load the module (modprobe tun), or pass the device to the container'
}
