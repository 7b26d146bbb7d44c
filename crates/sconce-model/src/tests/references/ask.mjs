// Asks llama.cpp for the log-probabilities of tiny checkpoints, and prints what references.rs compares.
// Usage, where the npm package node-llama-cpp is installed: node ask.mjs FOLDER > llama_cpp.txt
// FOLDER is what the ignored test of references.rs wrote.
import fs from "node:fs";
import path from "node:path";
import {getLlama} from "node-llama-cpp";

const POSITIONS = [0, 5, 20, 47];
const TOKEN_STRIDE = 8;

const folder = process.argv[2];
const prompt = fs.readFileSync(path.join(folder, "prompt.txt"), "utf8").split(" ").map(Number);
const llama = await getLlama({gpu: false, build: "never", maxThreads: 1, logLevel: "error"});
const binding = JSON.parse(fs.readFileSync("node_modules/node-llama-cpp/package.json", "utf8")).version;
console.log(`# llama.cpp ${llama.llamaCppRelease.release} by node-llama-cpp ${binding} (ask.mjs). Each line: checkpoint,`);
console.log(`# position, log-probabilities there of every ${TOKEN_STRIDE}th token.`);
for (const file of fs.readdirSync(folder).filter((it) => it.endsWith(".gguf")).sort()) {
    const model = await llama.loadModel({modelPath: path.join(folder, file), useMmap: false});
    const context = await model.createContext({contextSize: 256, batchSize: 64, threads: 1, swaFullCache: true});
    const items = prompt.map((token, index) =>
        POSITIONS.includes(index) ? [token, {generateNext: {probabilities: true}}] : token);
    const results = await context.getSequence().controlledEvaluate(items);
    for (const position of POSITIONS) {
        const probabilities = results[position].next.probabilities;
        const kept = [];
        for (let token = 0; token < probabilities.size; token += TOKEN_STRIDE)
            kept.push(Math.log(probabilities.get(token)).toFixed(4));
        console.log([path.basename(file, ".gguf"), position, ...kept].join(" "));
    }
    await context.dispose();
    await model.dispose();
}
process.exit(0);
