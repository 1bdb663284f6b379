// The machine and the versions that a result belongs to.
import { execFileSync } from 'node:child_process'
import { cpus, hostname, release, totalmem } from 'node:os'

const line = (program, args, pick = (text) => text.split('\n')[0]) => {
  try {
    return pick(execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })).trim()
  } catch {
    return null
  }
}

export const machine = () => ({
  host: hostname(),
  cpu: cpus()[0]?.model.trim() ?? 'unknown',
  cores: cpus().length,
  memoryGiB: Math.round(totalmem() / 2 ** 30),
  hypervisor: line('lscpu', [], (text) => /Hypervisor vendor:\s*(.*)/.exec(text)?.[1] ?? 'none'),
  kernel: release(),
  system: line('sh', ['-c', '. /etc/os-release; echo $PRETTY_NAME']),
  node: process.version,
  commit: line('git', ['describe', '--always', '--dirty']),
  iperf3: line('iperf3', ['--version']),
  nft: line('nft', ['--version']),
  passt: line('dpkg-query', ['-W', '-f', '${Version}', 'passt']),
  slirp4netns: line('slirp4netns', ['--version']),
})
