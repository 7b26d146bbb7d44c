// Asks llama.cpp for the tokens of texts in each vocabulary, and prints what word_cuts.rs compares.
// Usage, where the npm package node-llama-cpp is installed: node cut.mjs FOLDER > word_cuts.txt
// FOLDER is what the ignored test of word_cuts.rs wrote.
import fs from "node:fs";
import path from "node:path";
import {getLlama} from "node-llama-cpp";

const folder = process.argv[2];
const texts = fs.readFileSync(path.join(folder, "texts.txt"), "utf8").split("\0");
const llama = await getLlama({gpu: false, build: "never", maxThreads: 1, logLevel: "error"});
const binding = JSON.parse(fs.readFileSync("node_modules/node-llama-cpp/package.json", "utf8")).version;
console.log(`# llama.cpp ${llama.llamaCppRelease.release} by node-llama-cpp ${binding} (cut.mjs). Each line: the way of cutting, tokens.`);
for (const file of fs.readdirSync(folder).filter((it) => it.endsWith(".gguf")).sort()) {
    const model = await llama.loadModel({modelPath: path.join(folder, file), vocabOnly: true, useMmap: false});
    for (const text of texts)
        console.log([path.basename(file, ".gguf"), ...model.tokenize(text, false)].join(" "));
    await model.dispose();
}
process.exit(0);
