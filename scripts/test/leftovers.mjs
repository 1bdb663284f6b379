// What tests could leave on the host: namespaces, processes, instances, and changes of its network.
import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'

/** Put into the environment of the tests, and thus of every process that they start. */
export const mark = { name: 'TSNAT_TEST_RUN', value: `${process.pid}.${Date.now()}` }
/** Processes that were told to end may need a moment. */
const PATIENCE_MILLISECONDS = 5000

const entries = (folder) => {
  try {
    return readdirSync(folder)
  } catch {
    return []
  }
}

const read = (path) => {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}

/** Processes that the tests started. */
const processes = () =>
  entries('/proc')
    .filter((name) => /^\d+$/.test(name) && read(`/proc/${name}/environ`).split('\0').includes(`${mark.name}=${mark.value}`))
    .map((pid) => `process ${pid}: ${read(`/proc/${pid}/cmdline`).split('\0').join(' ')}`)

/** Output of a command as lines with a title; none when it cannot be run. */
const lines = (title, program, ...args) => {
  const { status, stdout } = spawnSync(program, args, { encoding: 'utf8' })
  return status === 0 ? stdout.split('\n').filter((line) => line.trim() !== '').map((line) => `${title}: ${line.trim()}`) : []
}

/** Everything there is of what tests could leave behind, as lines of text. */
export const hostState = () => [
  ...entries('/run/netns').map((name) => `namespace ${name}`),
  ...entries('/run/tsnat').map((name) => `/run/tsnat/${name}`),
  ...entries('/sys/class/net').map((name) => `interface ${name}`),
  ...lines('rule', 'ip', '-4', 'rule'),
  ...lines('route', 'ip', '-4', 'route', 'show', 'table', 'all'),
  ...lines('table', 'nft', 'list', 'tables'),
  ...processes(),
]

/** What is there now and was not before; and what was changed, thus gone. */
export const leftBehind = async (before) => {
  const deadline = Date.now() + PATIENCE_MILLISECONDS
  for (;;) {
    const now = hostState()
    const left = now.filter((line) => !before.includes(line))
    const gone = before.filter((line) => !now.includes(line)).map((line) => `gone: ${line}`)
    if (left.length + gone.length === 0 || Date.now() > deadline) return [...left, ...gone]
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}
