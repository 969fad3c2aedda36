// tests/cross/wasi.mjs PROGRAM TABLE: runs a WebAssembly program that reads one file.
// SPDX-License-Identifier: MIT
import { readFile } from 'node:fs/promises';
import { dirname, basename } from 'node:path';
import { WASI } from 'node:wasi';

const [program, table] = process.argv.slice(2);
const wasi = new WASI({
  version: 'preview1',
  args: [basename(program), '/table/' + basename(table)],
  preopens: { '/table': dirname(table) },
  returnOnExit: true,
});
const { instance } = await WebAssembly.instantiate(await readFile(program), { wasi_snapshot_preview1: wasi.wasiImport });
process.exit(wasi.start(instance));
