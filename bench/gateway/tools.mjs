// The measuring tools in C: compiled when older than their source.
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))))
const source = join(root, 'bench', 'floor')
const products = join(root, 'node_modules', '.cache', 'tsnat-bench')

/** Builds one program of bench/floor; returns its path. */
export const tool = (name) => {
  const product = join(products, name)
  const inputs = [join(source, `${name}.c`), join(source, 'tool.h')]
  const newest = Math.max(...inputs.map((path) => statSync(path).mtimeMs))
  if (existsSync(product) && statSync(product).mtimeMs > newest) return product
  mkdirSync(products, { recursive: true })
  execFileSync('cc', ['-std=gnu11', '-O2', '-Wall', '-Wextra', '-o', product, inputs[0]], { stdio: 'inherit' })
  return product
}

/** Whether a program is installed. */
export const installed = (program) => {
  try {
    execFileSync('sh', ['-c', `command -v ${program}`], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}
