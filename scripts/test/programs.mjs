// The programs that the tests in namespaces call, and where Debian and Ubuntu have them.
import { spawnSync } from 'node:child_process'
import { existsSync, rmSync, writeFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'

const PACKAGES = {
  conntrack: 'conntrack',
  curl: 'curl',
  danted: 'dante-server',
  dig: 'bind9-dnsutils',
  dnsmasq: 'dnsmasq',
  ethtool: 'ethtool',
  ip: 'iproute2',
  iperf3: 'iperf3',
  ipset: 'ipset',
  'iptables-legacy': 'iptables',
  'iptables-nft': 'iptables',
  microsocks: 'microsocks',
  mtr: 'mtr-tiny',
  nc: 'netcat-openbsd',
  nft: 'nftables',
  nginx: 'nginx-light',
  ping: 'iputils-ping',
  tcpdump: 'tcpdump',
  traceroute: 'traceroute',
  tshark: 'tshark',
  turnserver: 'coturn',
  turnutils_natdiscovery: 'coturn',
  turnutils_stunclient: 'coturn',
}

/** Debian's packages start their services when this does not forbid it. */
const POLICY = '/usr/sbin/policy-rc.d'

const isInstalled = (program) => process.env.PATH.split(delimiter).some((folder) => folder !== '' && existsSync(join(folder, program)))

const missingPrograms = () => Object.keys(PACKAGES).filter((program) => !isInstalled(program))

const aptGet = (...args) => {
  console.log(`   apt-get ${args.join(' ')}`)
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
  return spawnSync('apt-get', ['-qq', ...args], { stdio: ['ignore', 'ignore', 'inherit'], env }).status === 0
}

/** Installs without starting anything. */
const install = (packages) => {
  const forbid = !existsSync(POLICY)
  // An interrupt ends apt-get; this process goes on, so that the policy is taken back.
  const hold = () => {}
  process.on('SIGINT', hold).on('SIGTERM', hold)
  if (forbid) writeFileSync(POLICY, '#!/bin/sh\nexit 101\n', { mode: 0o755 })
  try {
    if (!aptGet('update')) console.log('   apt-get update failed; what is known already may do')
    aptGet('install', '--yes', '--no-install-recommends', ...packages)
  } finally {
    if (forbid) rmSync(POLICY, { force: true })
    process.off('SIGINT', hold).off('SIGTERM', hold)
  }
}

/** Installs what is missing, on Debian and its kin. Returns the programs that are missing nevertheless. */
export const installMissing = () => {
  const missing = missingPrograms()
  if (missing.length === 0) {
    console.log('   all there')
    return []
  }
  console.log(`   missing: ${missing.join(', ')}`)
  if (!existsSync('/etc/debian_version') || !isInstalled('apt-get')) {
    console.log('   this is no Debian: install them by hand')
    return missing
  }
  install([...new Set(missing.map((program) => PACKAGES[program]))])
  return missingPrograms()
}
