// node ask.js SQL...: DuckDB's answers, the columns of a row with blanks between. In NODE_PATH is what scripts/deps
// readers installed.
const { DuckDBInstance } = require("@duckdb/node-api");

async function ask(questions) {
	const db = await (await DuckDBInstance.create(":memory:")).connect();
	for (const sql of questions)
		for (const row of (await db.runAndReadAll(sql)).getRows())
			console.log(row.join(" "));
}

ask(process.argv.slice(2)).catch((e) => {
	console.error(e.message);
	process.exitCode = 1;
});
