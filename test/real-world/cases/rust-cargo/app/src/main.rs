use std::process::ExitCode;

fn main() -> ExitCode {
    let numbers: Vec<f64> = std::env::args().skip(1).filter_map(|a| a.parse().ok()).collect();
    match stats::mean(&numbers) {
        Some(mean) => {
            println!("mean {mean:.2} of {} ({})", numbers.len(), env!("APP_COMMIT"));
            ExitCode::SUCCESS
        }
        None => {
            eprintln!("no numbers");
            ExitCode::from(64)
        }
    }
}
