// node netron.mjs FOLDER FILE...: Netron's own readers, in FOLDER, open each file. Prints a line of JSON for each.

import * as fs from 'node:fs';
import * as path from 'node:path';
import { pathToFileURL } from 'node:url';

const [folder, ...files] = process.argv.slice(2);
const load = (name) => import(pathToFileURL(path.join(folder, `${name}.js`)).href);
const asset = async (name) => fs.readFileSync(path.join(folder, name), 'utf-8');
const absent = async (name) => { throw new Error(`${name} is not there`); };
const base = await load('base');
const view = await load('view');

const open = async (file) => {
    const notices = [];
    // A problem that is not fatal is a notice beside the graph.
    const error = (problem, fatal) => {
        if (fatal) {
            throw problem;
        }
        notices.push(problem.message);
    };
    const host = { asset, error, exception: error, environment: () => null, fetch: absent, require: load };
    const stream = new base.BinaryStream(new Uint8Array(fs.readFileSync(file)));
    const context = { ...host, identifier: path.basename(file), stream, entries: new Map() };
    try {
        const model = await new view.ModelFactoryService(host).open(context);
        const graphs = [...model.modules, ...model.functions || []];
        const nodes = graphs.flatMap((graph) => (graph.nodes || []).map((node) => node.type.name));
        return { format: model.format, nodes, notices };
    } catch (problem) {
        return { problem: problem.message };
    }
};

for (const file of files) {
    console.log(JSON.stringify(await open(file)));
}
